package response

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

// CheckNative checks a Responses body that upstreams get as it is: what they know and how they take it is theirs to say, so
// hosted tools, items and parameters of all kinds are let through, but what refers to something that no upstream keeps is
// not. Its errors are those of Check.
func CheckNative(body json.RawMessage) error {
	root := gjson.ParseBytes(body)
	if !json.Valid(body) {
		return completion.NewError(completion.CodeInvalidJSON, "")
	}
	if !root.IsObject() {
		return completion.Invalid("", "The body must be a JSON object with model and input.")
	}
	seen := map[string]bool{}
	var err error
	root.ForEach(func(k, v gjson.Result) bool {
		p := known[k.Str]
		switch {
		case seen[k.Str]:
			err = completion.Invalid(shorten(k.Str), "The parameter %q is given twice.", shorten(k.Str))
		case k.Str == "conversation" && v.Type != gjson.Null:
			err = p.apply(nil, v, p.Name)
		case p != nil && (v.Type != gjson.Null || k.Str == "model"):
			err = check(p.form, v, p.Name)
		}
		seen[k.Str] = true
		return err == nil
	})
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(root.Get("model").Str) == "":
		return completion.Invalid("model", "The parameter \"model\" is required: a string that is not empty.")
	case !seen["input"] && !seen["previous_response_id"] && !seen["prompt"]:
		return completion.Invalid("input", "The parameter \"input\" is required.")
	}
	list := root.Get("input")
	if !list.IsArray() {
		return nil
	}
	return each(list, "input", func(v gjson.Result, at string) error {
		if isReference(v) {
			return unresolved(v, at)
		}
		return check(form.Object, v, at)
	})
}

// unresolved refuses a reference to an item that is not there.
func unresolved(v gjson.Result, path string) error {
	return completion.Invalid(path+".id", "There is no item with the id %q in a response that is kept.", shorten(v.Get("id").Str))
}
