package answer

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"
)

// restateResponse renders a Response as the events of a stream that amounts to it: what is said of it, each item with its
// parts, and the end if it has ended.
func restateResponse(response gjson.Result) []json.RawMessage {
	status := response.Get("status").Str
	ended := status == "completed" || status == "incomplete"
	b, comma := []byte(`{"type":"response.created","response":{`), false
	response.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "output":
		case "status":
			b = append(appendKey(b, &comma, "status"), `"in_progress"`...)
		default:
			b = append(appendKey(b, &comma, k.Raw[1:len(k.Raw)-1]), v.Raw...)
		}
		return true
	})
	list := []json.RawMessage{append(b, "}}"...)}
	n := 0
	response.Get("output").ForEach(func(_, v gjson.Result) bool {
		if !v.IsObject() {
			return true
		}
		r := itemTelling{item: v, at: `,"output_index":` + strconv.Itoa(n), done: ended || !slices.Contains(growing, v.Get("status").Str)}
		list = append(list, r.all()...)
		n++
		return true
	})
	if ended {
		list = append(list, json.RawMessage(`{"type":"response.`+status+`","response":{"status":"`+status+`"}}`))
	}
	var cut []json.RawMessage
	for _, event := range list {
		cut = AppendSplit(cut, event)
	}
	return cut
}

// itemTexts are the events of the string that an item of some type has to say.
var itemTexts = map[string]string{
	"function_call": "response.function_call_arguments", "custom_tool_call": "response.custom_tool_call_input",
	"mcp_call": "response.mcp_call_arguments", "code_interpreter_call": "response.code_interpreter_call_code",
}

// partTexts are the events of the string that a part of some type has to say.
var partTexts = map[string]string{
	"output_text": "response.output_text", "refusal": "response.refusal", "reasoning_text": "response.reasoning_text",
	"summary_text": "response.reasoning_summary_text",
}

// partLists are the lists of parts that an item may have, the events about them, and the name of their indexes.
var partLists = []struct{ name, event, index string }{
	{"summary", "response.reasoning_summary_part", "summary_index"}, {"content", "response.content_part", "content_index"},
}

// itemTelling says an item as it would have come: announced empty, grown, and ended if it is done.
type itemTelling struct {
	item gjson.Result
	at   string // output_index
	done bool
	list []json.RawMessage
}

func (r *itemTelling) all() []json.RawMessage {
	empty := map[string]string{}
	for _, l := range partLists {
		if tellable(r.item.Get(l.name)) {
			empty[l.name] = "[]"
		}
	}
	event := itemTexts[r.item.Get("type").Str]
	if text := r.item.Get(texts[event].member); event != "" && text.Type == gjson.String {
		empty[texts[event].member] = `""`
	}
	if r.done {
		empty["status"] = `"` + growing[0] + `"`
	}
	r.say("response.output_item.added", r.at, `"item":`, string(with(r.item, empty)))
	at := r.at
	if id := r.item.Get("id"); id.Type == gjson.String {
		at = `,"item_id":` + id.Raw + at
	}
	if event != "" {
		r.text(event, at, r.item)
	}
	for _, l := range partLists {
		if empty[l.name] == "" {
			continue
		}
		n := 0
		r.item.Get(l.name).ForEach(func(_, part gjson.Result) bool {
			r.part(l.event, at+`,"`+l.index+`":`+strconv.Itoa(n), part)
			n++
			return true
		})
	}
	if r.done {
		r.say("response.output_item.done", r.at, `"item":`, r.item.Raw)
	}
	return r.list
}

// tellable reports whether all parts of a list are of types that can be announced.
func tellable(list gjson.Result) bool {
	ok, n := list.IsArray(), 0
	list.ForEach(func(_, part gjson.Result) bool {
		n++
		ok = ok && part.IsObject() && partTexts[part.Get("type").Str] != "" && n <= maxParts
		return ok
	})
	return ok
}

func (r *itemTelling) part(event, at string, part gjson.Result) {
	text := partTexts[part.Get("type").Str]
	r.say(event+".added", at, `"part":`, string(with(part, map[string]string{texts[text].member: `""`})))
	r.text(text, at, part)
	if r.done {
		r.say(event+".done", at, `"part":`, part.Raw)
	}
}

// text says the string that holder grows by.
func (r *itemTelling) text(event, at string, holder gjson.Result) {
	name := texts[event].member
	text := holder.Get(name)
	if text.Type != gjson.String {
		return
	}
	if text.Raw != `""` {
		r.say(event+".delta", at, `"delta":`, text.Raw)
	}
	if r.done {
		r.say(event+".done", at, `"`+name+`":`, text.Raw)
	}
}

func (r *itemTelling) say(kind, at, member, raw string) {
	r.list = append(r.list, json.RawMessage(`{"type":"`+kind+`"`+at+","+member+raw+"}"))
}

// with renders an object with other values for those of its members that are named.
func with(object gjson.Result, other map[string]string) []byte {
	b, comma := []byte{'{'}, false
	object.ForEach(func(k, v gjson.Result) bool {
		b = appendKey(b, &comma, k.Raw[1:len(k.Raw)-1])
		if raw, ok := other[k.Str]; ok && v.Type != gjson.Null {
			b = append(b, raw...)
		} else {
			b = append(b, v.Raw...)
		}
		return true
	})
	return append(b, '}')
}
