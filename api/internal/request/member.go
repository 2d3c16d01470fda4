package request

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// members reads an object whose every member must be among those of known, found at path at. A member that is null counts
// as one that is not there.
func members(object gjson.Result, at string, known map[string]func(v gjson.Result) error) (err error) {
	seen := map[string]bool{}
	object.ForEach(func(k, v gjson.Result) bool {
		read, ok := known[k.Str]
		switch {
		case seen[k.Str]:
			err = completion.Invalid(join(at, k.Str), "The field %q is given twice.", Shorten(k.Str))
		case !ok:
			err = completion.Invalid(join(at, k.Str), "The field %q is unknown; there %s.", Shorten(k.Str), are(slices.Sorted(maps.Keys(known))))
		case v.Type != gjson.Null:
			err = read(v)
		}
		seen[k.Str] = true
		return err == nil
	})
	return err
}

func are(names []string) string {
	if len(names) == 0 {
		return "is none"
	}
	return "are " + strings.Join(names, ", ")
}

// text reads a string of at most so many characters into to, which is set whenever it is there.
func text(to **string, name string, most int) func(v gjson.Result) error {
	return func(v gjson.Result) error {
		if v.Type != gjson.String {
			return completion.Invalid(name, "The field %q must be a string.", name)
		}
		if n := len([]rune(v.Str)); n > most {
			return completion.Invalid(name, "The field %q may have at most %d characters.", name, most)
		}
		*to = &v.Str
		return nil
	}
}
