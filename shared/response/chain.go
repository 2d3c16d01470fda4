package response

import (
	"encoding/json"

	"github.com/tidwall/gjson"
)

// Extend returns body with items, such as the inputs and outputs of the responses before it, put before its own input. A
// body without input gets one.
func Extend(body json.RawMessage, items []json.RawMessage) json.RawMessage {
	return rewrite(body, func(own []json.RawMessage) []json.RawMessage {
		return append(append([]json.RawMessage{}, items...), own...)
	})
}

// Input returns the items of a body's input; a text is the message of a user.
func Input(body json.RawMessage) []json.RawMessage {
	var items []json.RawMessage
	switch in := gjson.GetBytes(body, "input"); {
	case in.Type == gjson.String:
		items = append(items, json.RawMessage(`{"type":"message","role":"user","content":[{"type":"input_text","text":`+in.Raw+`}]}`))
	case in.IsArray():
		in.ForEach(func(_, v gjson.Result) bool {
			items = append(items, json.RawMessage(v.Raw))
			return true
		})
	}
	return items
}

// References are the ids of the items that body's input refers to, in order.
func References(body json.RawMessage) []string {
	var ids []string
	for _, item := range Input(body) {
		if v := gjson.ParseBytes(item); isReference(v) {
			ids = append(ids, v.Get("id").Str)
		}
	}
	return ids
}

// Resolve returns body with its references replaced by the items they refer to; those that items lacks stay.
func Resolve(body json.RawMessage, items map[string]json.RawMessage) json.RawMessage {
	return rewrite(body, func(own []json.RawMessage) []json.RawMessage {
		for i, item := range own {
			if v := gjson.ParseBytes(item); isReference(v) {
				if found, ok := items[v.Get("id").Str]; ok {
					own[i] = found
				}
			}
		}
		return own
	})
}

// isReference reports whether v stands for an item said before: its type may be left out.
func isReference(v gjson.Result) bool {
	kind := v.Get("type")
	return v.IsObject() && v.Get("id").Type == gjson.String &&
		(kind.Str == "item_reference" || kind.Type == gjson.Null && !v.Get("role").Exists())
}

// rewrite returns body with another input; all other members keep their bytes and places.
func rewrite(body json.RawMessage, change func([]json.RawMessage) []json.RawMessage) json.RawMessage {
	var list array
	for _, item := range change(Input(body)) {
		list.add(string(item))
	}
	var o object
	replaced := false
	gjson.ParseBytes(body).ForEach(func(k, v gjson.Result) bool {
		if k.Str != "input" {
			o.take(k, v)
		} else if !replaced {
			o.set("input", list.String())
			replaced = true
		}
		return true
	})
	if !replaced {
		o.set("input", list.String())
	}
	return json.RawMessage(o.String())
}
