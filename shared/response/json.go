package response

import (
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"
)

// object is a JSON object under construction; its values are raw JSON.
type object struct{ text []byte }

func (o *object) set(key, raw string) {
	o.text = append(o.text, "{,"[min(len(o.text), 1)])
	o.text = append(append(append(o.text, '"'), key...), '"', ':')
	o.text = append(o.text, raw...)
}

func (o *object) setText(key, value string) { o.set(key, quote(value)) }

// take copies a member as it is.
func (o *object) take(k, v gjson.Result) { o.set(k.Raw[1:len(k.Raw)-1], v.Raw) }

func (o *object) String() string {
	if len(o.text) == 0 {
		return "{}"
	}
	return string(o.text) + "}"
}

// array is a JSON array under construction.
type array struct{ text []byte }

func (a *array) add(raw string) {
	a.text = append(a.text, "[,"[min(len(a.text), 1)])
	a.text = append(a.text, raw...)
}

func (a *array) String() string {
	if len(a.text) == 0 {
		return "[]"
	}
	return string(a.text) + "]"
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string can always be encoded
	return string(b)
}

// each calls visit for every element of list with its path, until one fails.
func each(list gjson.Result, path string, visit func(v gjson.Result, at string) error) (err error) {
	n := 0
	list.ForEach(func(_, v gjson.Result) bool {
		err = visit(v, path+"["+strconv.Itoa(n)+"]")
		n++
		return err == nil
	})
	return err
}

// without copies the members of v but those named, and those that are null.
func (o *object) without(v gjson.Result, names ...string) {
	v.ForEach(func(k, child gjson.Result) bool {
		for _, n := range names {
			if k.Str == n {
				return true
			}
		}
		if child.Type != gjson.Null {
			o.take(k, child)
		}
		return true
	})
}
