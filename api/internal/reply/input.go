package reply

import (
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/response"
)

// itemPrefixes begin the ids of items that were given without one, by their type.
var itemPrefixes = map[string]string{
	messageItem: "msg_", thoughtItem: "rs_", functionItem: "fc_", "function_call_output": "fco_", customItem: "ctc_", "custom_tool_call_output": "ctco_",
}

// Input are the items that the response of job was asked with, those of the responses before it included, as a list of
// input items shows them: each with an id, which stays the same.
func Input(job completion.Job) []json.RawMessage {
	list := response.Input(job.Request)
	for n, item := range list {
		list[n] = listed(job.ID, n, gjson.ParseBytes(item))
	}
	return list
}

// listed adds to an item what its type requires and its caller may leave out.
func listed(job string, n int, v gjson.Result) json.RawMessage {
	kind := v.Get("type").Str
	if kind == "" {
		kind = messageItem
	}
	members := map[string]json.RawMessage{}
	var order []string
	set := func(name string, value json.RawMessage) {
		if _, there := members[name]; !there {
			order = append(order, name)
		}
		members[name] = value
	}
	set("id", encode(completion.Alias(itemPrefixes[kind], job)+"_in"+strconv.Itoa(n)))
	set("type", encode(kind))
	if kind != thoughtItem && itemPrefixes[kind] != "" {
		set("status", json.RawMessage(`"completed"`))
	}
	v.ForEach(func(k, m gjson.Result) bool {
		if m.Type != gjson.Null {
			set(k.Str, json.RawMessage(m.Raw))
		}
		return true
	})
	if text := v.Get("content"); kind == messageItem && text.Type == gjson.String {
		set("content", parts(v.Get("role").Str, text))
	}
	b := []byte{'{'}
	for i, name := range order {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, encode(name)...), ':'), members[name]...)
	}
	return append(b, '}')
}

// parts are the content of a message that was given as a text.
func parts(role string, text gjson.Result) json.RawMessage {
	if role == "assistant" {
		return encode([]json.RawMessage{(&part{kind: textPart, text: []byte(inner(text))}).render()})
	}
	return encode([]any{struct {
		Type string          `json:"type"`
		Text json.RawMessage `json:"text"`
	}{"input_text", json.RawMessage(text.Raw)}})
}

// ItemJob is the job of the response that an item's id belongs to, if it can be one.
func ItemJob(id string) (job string, ok bool) {
	const digits = 32
	for _, prefix := range itemPrefixes {
		if len(id) >= len(prefix)+digits && id[:len(prefix)] == prefix {
			return completion.Unalias(prefix, id[:len(prefix)+digits])
		}
	}
	return "", false
}
