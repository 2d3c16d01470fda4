package answer

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxDepth is how deep values are merged; what lies deeper is replaced whole by what came last.
const maxDepth = 16

// value is a JSON value that grows as deltas are merged into it. Strings are kept as they were escaped, without their
// quotes, and joined as bytes: nothing is decoded, so a surrogate pair cut in two, a NUL or any escape survives (I4).
type value struct {
	kind    byte // '"' string, '{' object, '[' array, 'v' number or bool, 'n' null
	text    []byte
	members []member
	items   []*value
}

type member struct {
	key  string // escaped, without quotes
	held *value
}

// constant are the string members that a stream may repeat but never continues.
func constant(key string) bool {
	return key == "role" || key == "id" || key == "type" || key == "name"
}

// merge adds r to v: strings are continued, objects merged, arrays extended or, where their elements carry an index,
// merged by it; null adds nothing; numbers and booleans replace.
func (v *value) merge(key string, r gjson.Result, depth int) {
	switch {
	case r.Type == gjson.Null:
		if v.kind == 0 {
			v.kind = 'n'
		}
	case r.Type == gjson.String:
		v.mergeString(key, r.Raw[1:len(r.Raw)-1])
	case depth >= maxDepth || r.Type != gjson.JSON:
		*v = value{kind: 'v', text: []byte(r.Raw)}
	case r.IsObject():
		if v.kind != '{' {
			*v = value{kind: '{'}
		}
		r.ForEach(func(k, child gjson.Result) bool {
			name := k.Raw[1 : len(k.Raw)-1]
			v.member(name).merge(name, child, depth+1)
			return true
		})
	default:
		if v.kind != '[' {
			*v = value{kind: '['}
		}
		r.ForEach(func(_, child gjson.Result) bool {
			v.item(key, child).merge("", child, depth+1)
			return true
		})
	}
}

func (v *value) mergeString(key, text string) {
	if v.kind != '"' {
		*v = value{kind: '"'}
	}
	if len(v.text) > 0 && constant(key) {
		return
	}
	v.text = append(v.text, text...)
}

// find returns the member called name, nil if there is none.
func (v *value) find(name string) *value {
	for i := range v.members {
		if v.members[i].key == name {
			return v.members[i].held
		}
	}
	return nil
}

// member returns the member called name, adding it if it is new.
func (v *value) member(name string) *value {
	if held := v.find(name); held != nil {
		return held
	}
	held := &value{}
	v.members = append(v.members, member{key: strings.Clone(name), held: held})
	return held
}

// item returns the element of array v, the member called key, that child belongs to: the one with its index, or a new one.
func (v *value) item(key string, child gjson.Result) *value {
	if index := itemIndex(key, child); index != "" {
		for _, it := range v.items {
			if it.index(key) == index {
				return it
			}
		}
	}
	it := &value{}
	v.items = append(v.items, it)
	return it
}

// itemIndex is the index of an element of the array called key, as it is written; "" if it has none. What maps tokens to
// their logprobs, as text completions do, has none: there "index" is a token.
func itemIndex(key string, item gjson.Result) string {
	if index := item.Get("index"); item.IsObject() && index.Type == gjson.Number && key != "top_logprobs" {
		return index.Raw
	}
	return ""
}

// index is the index of v, an element of the array called key; "" if it has none.
func (v *value) index(key string) string {
	held := v.find("index")
	if v.kind != '{' || key == "top_logprobs" || held == nil || held.kind != 'v' || !number(held.text[0]) {
		return ""
	}
	return string(held.text)
}

func number(first byte) bool { return first == '-' || first >= '0' && first <= '9' }

// append renders v as part of a message, where the elements of tool_calls have no index, or of a delta, where they do.
func (v *value) append(b []byte, indexes bool) []byte {
	switch v.kind {
	case '"':
		b = append(b, '"')
		b = append(b, v.text...)
		return append(b, '"')
	case '{':
		b = append(b, '{')
		comma := false
		for _, m := range v.members {
			b = appendKey(b, &comma, m.key)
			b = m.held.appendChild(b, m.key, indexes)
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		for i, it := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = it.append(b, indexes)
		}
		return append(b, ']')
	case 'v':
		return append(b, v.text...)
	default:
		return append(b, "null"...)
	}
}

func (v *value) appendChild(b []byte, key string, indexes bool) []byte {
	if indexes || key != "tool_calls" || v.kind != '[' {
		return v.append(b, indexes)
	}
	b = append(b, '[')
	for i, it := range v.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = it.without("index").append(b, false)
	}
	return append(b, ']')
}

func (v *value) without(key string) *value {
	rest := &value{kind: v.kind, text: v.text, items: v.items}
	for _, m := range v.members {
		if m.key != key {
			rest.members = append(rest.members, m)
		}
	}
	return rest
}

// appendKey appends `"key":`, with a comma before it from the second one on.
func appendKey(b []byte, comma *bool, key string) []byte {
	if *comma {
		b = append(b, ',')
	}
	*comma = true
	b = append(b, '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
