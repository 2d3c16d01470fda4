package answer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// native is an answer in the words of the Responses API: its chunks are the events of a response's stream, and they amount to
// a Response. Names and shapes are those of OpenAI's public types (openai-node, resources/responses).
type native struct {
	fields    []field // of the Response, but those in unkept, output and usage; only last counts
	items     []*outputItem
	fragments Fragments
	status    string // completed or incomplete; empty until the response has ended
	deltas    int
}

// outputItem is one item of the output.
type outputItem struct {
	index int64
	held  value           // as it stands, until it is done
	done  json.RawMessage // as it was said at its end
}

// maxParts bounds the parts of an item.
const maxParts = 2048

// unkept are the members of a Response that repeat the request.
var unkept = []string{"instructions", "tools", "metadata"}

// growing are the states of items that go on.
var growing = []string{"in_progress", "searching", "interpreting", "generating", "calling"}

// texts are the strings of an item that grow, by what the names of their events begin with: members of the item, or of the
// parts in one of its lists.
var texts = map[string]struct{ list, index, member string }{
	"response.output_text":                {"content", "content_index", "text"},
	"response.refusal":                    {"content", "content_index", "refusal"},
	"response.reasoning_text":             {"content", "content_index", "text"},
	"response.reasoning_summary_text":     {"summary", "summary_index", "text"},
	"response.function_call_arguments":    {member: "arguments"},
	"response.custom_tool_call_input":     {member: "input"},
	"response.mcp_call_arguments":         {member: "arguments"},
	"response.code_interpreter_call_code": {member: "code"},
}

// Native reports whether a chunk is an event of a response's stream, or a fragment of one.
func Native(chunk json.RawMessage) bool {
	kind := gjson.GetBytes(chunk, "type").Str
	return strings.HasPrefix(kind, "response.") || kind == fragmentType
}

// IsResponse reports whether a result is a Response, as events of a response's stream amount to.
func IsResponse(result json.RawMessage) bool {
	return gjson.GetBytes(result, "object").Str == "response"
}

// addEvent is Add for an event of a response's stream.
func (a *Answer) addEvent(chunk json.RawMessage) (json.RawMessage, error) {
	event, whole := a.native.fragments.Join(chunk)
	if !whole {
		a.chunks++
		return chunk, nil
	}
	root := gjson.ParseBytes(event)
	kind := root.Get("type").Str
	if !root.IsObject() || !strings.HasPrefix(kind, "response.") {
		return nil, ErrShape
	}
	var slim json.RawMessage
	if r := root.Get("response"); r.IsObject() {
		slim = a.snapshot(root.Get("type").Raw, r)
	} else if a.native.fold(kind, root) {
		slim = appendEvent(nil, root)
	} else {
		return nil, ErrShape
	}
	a.chunks++
	a.bytes += len(event)
	return slim, nil
}

// appendEvent renders an event without the members that are of its stream only.
func appendEvent(b []byte, event gjson.Result) []byte {
	b = append(append(b, `{"type":`...), event.Get("type").Raw...)
	event.ForEach(func(k, v gjson.Result) bool {
		if k.Str != "type" && k.Str != "sequence_number" && k.Str != "obfuscation" {
			b = append(append(append(append(b, ','), k.Raw...), ':'), v.Raw...)
		}
		return true
	})
	return append(b, '}')
}

// snapshot merges what an event says of the Response itself, and renders what of it is new; nil for nothing.
func (a *Answer) snapshot(kind string, response gjson.Result) json.RawMessage {
	n := a.native
	ends := kind == `"response.completed"` || kind == `"response.incomplete"`
	slim, comma := append(make([]byte, 0, 256), `{"type":`+kind+`,"response":{`...), false
	var output gjson.Result
	response.ForEach(func(k, v gjson.Result) bool {
		key := k.Raw[1 : len(k.Raw)-1]
		if k.Str == "object" || k.Str == "status" {
			key = k.Str // however it is escaped
		}
		switch {
		case k.Str == "output":
			output = v
		case slices.Contains(unkept, k.Str), k.Str == "usage" && v.Type == gjson.Null:
		case k.Str == "usage":
			a.usage = json.RawMessage(v.Raw)
			slim = append(appendKey(slim, &comma, "usage"), v.Raw...)
		case n.set(key, v):
			slim = append(appendKey(slim, &comma, key), v.Raw...)
		}
		return true
	})
	if ends && output.Get("0").Exists() && !n.says(output) {
		n.items = nil
		output.ForEach(func(_, v gjson.Result) bool {
			if v.IsObject() {
				n.items = append(n.items, &outputItem{index: int64(len(n.items))})
				n.items[len(n.items)-1].end(v)
			}
			return true
		})
		slim = append(appendKey(slim, &comma, "output"), output.Raw...)
	}
	if ends {
		n.status = strings.Trim(strings.TrimPrefix(kind, `"response.`), `"`)
	}
	if !comma && !ends {
		return nil
	}
	return append(slim, "}}"...)
}

// set notes a member of the Response and reports whether it changed.
func (n *native) set(key string, v gjson.Result) bool {
	for i := range n.fields {
		if f := &n.fields[i]; f.key == key {
			changed := f.last != v.Raw
			f.last = v.Raw
			return changed
		}
	}
	if v.Type == gjson.Null {
		return false
	}
	n.fields = append(n.fields, field{key: key, last: v.Raw})
	return true
}

// says reports whether the items, all of them done, are those of output.
func (n *native) says(output gjson.Result) bool {
	i, same := 0, true
	output.ForEach(func(_, v gjson.Result) bool {
		same = i < len(n.items) && string(n.items[i].done) == v.Raw
		i++
		return same
	})
	return same && i == len(n.items)
}

// fold merges what an event says of an item, and reports whether it has the shape of one.
func (n *native) fold(kind string, event gjson.Result) bool {
	at := event.Get("output_index").Int()
	it, said := n.find(at), event.Get("item")
	switch {
	case kind != "response.output_item.added" && kind != "response.output_item.done":
		if it != nil && it.done == nil {
			n.deltas += it.grow(kind, event)
		}
		return true
	case !said.IsObject() || it == nil && len(n.items) == maxChoices:
		return false
	case it == nil:
		it = &outputItem{index: at}
		n.items = append(n.items, it)
		slices.SortFunc(n.items, func(x, y *outputItem) int { return cmp.Compare(x.index, y.index) })
	}
	if kind == "response.output_item.done" {
		it.end(said)
	} else {
		it.done, it.held = nil, *parsed(said, 0)
	}
	return true
}

// end makes the item what it is at its end, unless that says that it goes on.
func (it *outputItem) end(said gjson.Result) {
	it.done, it.held = json.RawMessage(said.Raw), value{}
	if slices.Contains(growing, said.Get("status").Str) {
		it.done, it.held = nil, *parsed(said, 0)
	}
}

func (n *native) find(index int64) *outputItem {
	for _, it := range n.items {
		if it.index == index {
			return it
		}
	}
	return nil
}

// grow merges an event about an item that is not done, and returns how many deltas that was.
func (it *outputItem) grow(kind string, event gjson.Result) int {
	name, act := kind[:strings.LastIndexByte(kind, '.')], kind[strings.LastIndexByte(kind, '.')+1:]
	switch text, ok := texts[name]; {
	case ok:
		return it.growText(it.holder(text.list, event.Get(text.index).Int()), text.member, act, event)
	case name == "response.content_part":
		it.held.member("content").put(event.Get("content_index").Int(), event.Get("part"))
	case name == "response.reasoning_summary_part":
		it.held.member("summary").put(event.Get("summary_index").Int(), event.Get("part"))
	case kind == "response.output_text.annotation.added":
		if part := it.holder("content", event.Get("content_index").Int()); part != nil {
			part.member("annotations").put(event.Get("annotation_index").Int(), event.Get("annotation"))
		}
	case strings.HasSuffix(name, "_call") && (slices.Contains(growing, act) || act == "completed" || act == "failed"):
		*it.held.member("status") = value{kind: '"', text: []byte(act)}
	}
	return 0
}

// holder is the item itself, or that part in one of its lists; nil if there is none.
func (it *outputItem) holder(list string, index int64) *value {
	if list == "" {
		return &it.held
	}
	parts := it.held.find(list)
	if parts == nil || index < 0 || index >= int64(len(parts.items)) || parts.items[index].kind != '{' {
		return nil
	}
	return parts.items[index]
}

func (it *outputItem) growText(holder *value, name, act string, event gjson.Result) int {
	said := event.Get(name)
	if act == "delta" {
		said = event.Get("delta")
	}
	if holder == nil || said.Type != gjson.String {
		return 0
	}
	text := holder.member(name)
	if text.kind != '"' || act != "delta" {
		*text = value{kind: '"'}
	}
	text.text = append(text.text, said.Raw[1:len(said.Raw)-1]...)
	if act != "delta" {
		return 0
	}
	event.Get("logprobs").ForEach(func(_, v gjson.Result) bool {
		list := holder.member("logprobs")
		list.put(int64(len(list.items)), v)
		return true
	})
	return 1
}

// put sets the element of array v at index, which may be the one after its last.
func (v *value) put(index int64, r gjson.Result) {
	if v.kind != '[' {
		*v = value{kind: '['}
	}
	switch n := int64(len(v.items)); {
	case !r.Exists() || index < 0 || index > n || index >= maxParts:
	case index == n:
		v.items = append(v.items, parsed(r, 2))
	default:
		v.items[index] = parsed(r, 2)
	}
}

// parsed is r as a value that can grow, as it is: unlike with merge, elements of arrays that have an index are elements.
func parsed(r gjson.Result, depth int) *value {
	v := &value{}
	switch {
	case r.Type == gjson.Null:
		v.kind = 'n'
	case r.Type == gjson.String:
		v.kind, v.text = '"', []byte(r.Raw[1:len(r.Raw)-1])
	case r.Type != gjson.JSON || depth >= maxDepth:
		v.kind, v.text = 'v', []byte(r.Raw)
	case r.IsObject():
		v.kind = '{'
		r.ForEach(func(k, child gjson.Result) bool {
			*v.member(k.Raw[1 : len(k.Raw)-1]) = *parsed(child, depth+1)
			return true
		})
	default:
		v.kind = '['
		r.ForEach(func(_, child gjson.Result) bool {
			v.items = append(v.items, parsed(child, depth+1))
			return true
		})
	}
	return v
}

// append renders the item as it stands; one that is not done has a status that says so.
func (it *outputItem) append(b []byte) []byte {
	if it.done != nil {
		return append(b, it.done...)
	}
	if status := it.held.member("status"); status.kind == 0 || status.kind == 'n' {
		*status = value{kind: '"', text: []byte(growing[0])}
	}
	return it.held.append(b, true)
}

// response renders the Response as it stands.
func (a *Answer) response() json.RawMessage {
	n := a.native
	b, comma := append(make([]byte, 0, a.bytes/2+256), `{"object":"response"`...), true
	b = append(appendKey(b, &comma, "status"), '"')
	b = append(append(b, cmp.Or(n.status, growing[0])...), '"')
	for _, f := range n.fields {
		if f.key != "object" && f.key != "status" && f.last != "null" {
			b = append(appendKey(b, &comma, f.key), f.last...)
		}
	}
	b = append(appendKey(b, &comma, "output"), '[')
	for i, it := range n.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = it.append(b)
	}
	b = append(b, ']')
	if len(a.usage) > 0 {
		b = append(appendKey(b, &comma, "usage"), a.usage...)
	}
	return append(b, '}')
}

// finish is why the response ended, in the words of chat completions where they have one.
func (n *native) finish() string {
	switch n.status {
	case "":
		return ""
	case "completed":
		return "stop"
	}
	for _, f := range n.fields {
		if f.key != "incomplete_details" {
			continue
		}
		switch gjson.Get(f.last, "reason").Str {
		case "max_output_tokens":
			return "length"
		case "content_filter":
			return "content_filter"
		}
	}
	return "incomplete"
}

func (n *native) estimate(request json.RawMessage) json.RawMessage {
	asked := len(gjson.GetBytes(request, "input").Raw) / 4
	return fmt.Appendf(nil, `{"input_tokens":%d,"output_tokens":%d,"total_tokens":%d,"estimated":true}`, asked, n.deltas, asked+n.deltas)
}
