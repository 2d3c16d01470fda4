package answer

import (
	"encoding/json"

	"github.com/tidwall/gjson"
)

// Restate renders a chat.completion, a text_completion or a Response as the chunks of a stream that amounts to it, none larger
// than Split makes them. Nothing, or what has no choices and is no Response, gives none.
func Restate(completion json.RawMessage) []json.RawMessage {
	root := gjson.ParseBytes(completion)
	if root.Get("object").Str == "response" {
		return restateResponse(root)
	}
	if !root.Get("choices").IsArray() {
		return nil
	}
	b, comma := make([]byte, 0, len(completion)+64), false
	b = append(b, '{')
	root.ForEach(func(k, v gjson.Result) bool {
		b = appendKey(b, &comma, k.Raw[1:len(k.Raw)-1])
		switch {
		case k.Str == "object" && v.Raw != textObject:
			b = append(b, `"chat.completion.chunk"`...)
		case k.Str == "choices":
			b = appendChoices(b, v)
		default:
			b = append(b, v.Raw...)
		}
		return true
	})
	return Split(append(b, '}'))
}

func appendChoices(b []byte, list gjson.Result) []byte {
	first := true
	b = append(b, '[')
	list.ForEach(func(_, c gjson.Result) bool {
		b = append(b, ",{"[btoi(first):]...)
		first = false
		comma := false
		c.ForEach(func(k, v gjson.Result) bool {
			if k.Str == "message" {
				b = appendDelta(appendKey(b, &comma, "delta"), v)
				return true
			}
			b = append(appendKey(b, &comma, k.Raw[1:len(k.Raw)-1]), v.Raw...)
			return true
		})
		b = append(b, '}')
		return true
	})
	return append(b, ']')
}

// appendDelta renders a message; in a delta, tool calls have an index.
func appendDelta(b []byte, message gjson.Result) []byte {
	comma := false
	b = append(b, '{')
	message.ForEach(func(k, v gjson.Result) bool {
		b = appendKey(b, &comma, k.Raw[1:len(k.Raw)-1])
		if k.Str == "tool_calls" && v.IsArray() {
			b = appendIndexed(b, v)
		} else {
			b = append(b, v.Raw...)
		}
		return true
	})
	return append(b, '}')
}

func appendIndexed(b []byte, list gjson.Result) []byte {
	n := int64(0)
	b = append(b, '[')
	list.ForEach(func(_, item gjson.Result) bool {
		if n > 0 {
			b = append(b, ',')
		}
		if !item.IsObject() {
			b = append(b, item.Raw...)
		} else {
			b = appendInt(append(b, `{"index":`...), n)
			if item.Raw != "{}" {
				b = append(b, ',')
			}
			b = append(b, item.Raw[1:]...)
		}
		n++
		return true
	})
	return append(b, ']')
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
