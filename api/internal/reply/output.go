package reply

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// The types of items that a chat completion can amount to, and of their parts.
const (
	thoughtItem  = "reasoning"
	messageItem  = "message"
	functionItem = "function_call"
	customItem   = "custom_tool_call"

	thoughtPart = "reasoning_text"
	textPart    = "output_text"
	refusalPart = "refusal"
)

// output is what an attempt has said, as items in the order in which they were begun: at most one with its reasoning, at
// most one message, and one for each tool call. Strings are kept as they were escaped, without quotes (I4).
type output struct{ items []*item }

type item struct {
	kind     string
	nth      int    // of the tool calls, this one's place
	index    string // of a tool call: its raw index in the chunks, empty if it has none
	callID   string // of a tool call, escaped
	name     string // of a tool call, escaped
	parts    []*part
	position int // in the response's output
	closed   bool
}

// part is a piece of text: of the reasoning, of the message, or a tool call's arguments.
type part struct {
	kind     string
	text     []byte
	logprobs []json.RawMessage
	closed   bool
}

// read is what a job's result says. A completed answer that says nothing is an empty message.
func read(job completion.Job) *output {
	o := &output{}
	for _, chunk := range answer.Restate(job.Result) {
		o.add(chunk)
	}
	if len(o.items) == 0 && job.State == completion.Completed {
		o.item(messageItem, 0).part(textPart)
	}
	return o
}

// add merges one chunk.
func (o *output) add(chunk json.RawMessage) {
	gjson.GetBytes(chunk, "choices").ForEach(func(_, c gjson.Result) bool {
		if c.Get("index").Int() != 0 {
			return true
		}
		delta := c.Get("delta")
		thought := inner(delta.Get("reasoning_content"))
		if thought == "" {
			thought = inner(delta.Get("reasoning"))
		}
		o.grow(thoughtItem, thoughtPart, thought)
		o.grow(messageItem, textPart, inner(delta.Get("content")))
		o.grow(messageItem, refusalPart, inner(delta.Get("refusal")))
		delta.Get("tool_calls").ForEach(func(_, call gjson.Result) bool {
			o.call(call)
			return true
		})
		c.Get("logprobs.content").ForEach(func(_, v gjson.Result) bool {
			if it := o.find(messageItem, 0); it != nil && it.find(textPart) != nil {
				p := it.part(textPart)
				p.logprobs = append(p.logprobs, json.RawMessage(v.Raw))
			}
			return true
		})
		return true
	})
}

func (o *output) grow(kind, partKind, text string) {
	if text != "" {
		p := o.item(kind, 0).part(partKind)
		p.text = append(p.text, text...)
	}
}

// call merges a piece of a tool call; one without an index is a whole call, as package answer has it.
func (o *output) call(v gjson.Result) {
	if !v.IsObject() {
		return
	}
	index, n := "", 0
	if i := v.Get("index"); i.Type == gjson.Number {
		index = i.Raw
	}
	var it *item
	for _, have := range o.items {
		if have.kind != functionItem && have.kind != customItem {
			continue
		}
		if n++; index != "" && have.index == index {
			it = have
		}
	}
	if it == nil {
		it = o.item(functionItem, n)
		it.index = index
	}
	body, argument := v.Get("function"), "arguments"
	if v.Get("type").Str == "custom" || v.Get("custom").IsObject() {
		it.kind = customItem
	}
	if it.kind == customItem {
		body, argument = v.Get("custom"), "input"
	}
	if it.callID == "" {
		it.callID = inner(v.Get("id"))
	}
	if it.name == "" {
		it.name = inner(body.Get("name"))
	}
	p := it.part("")
	p.text = append(p.text, inner(body.Get(argument))...)
}

// item returns the item of that kind, which for a tool call is the nth; a new one if there is none.
func (o *output) item(kind string, nth int) *item {
	it := o.find(kind, nth)
	if it == nil {
		it = &item{kind: kind, nth: nth, position: len(o.items)}
		o.items = append(o.items, it)
	}
	return it
}

func (o *output) find(kind string, nth int) *item {
	for _, it := range o.items {
		if it.kind == kind && it.nth == nth {
			return it
		}
	}
	return nil
}

func (it *item) part(kind string) *part {
	if p := it.find(kind); p != nil {
		return p
	}
	p := &part{kind: kind}
	it.parts = append(it.parts, p)
	return p
}

func (it *item) find(kind string) *part {
	for _, p := range it.parts {
		if p.kind == kind {
			return p
		}
	}
	return nil
}

// inner is a text as it was escaped, without its quotes. Some upstreams send lists of parts instead, or arguments as they
// are.
func inner(v gjson.Result) string {
	switch {
	case v.Type == gjson.String:
		return v.Raw[1 : len(v.Raw)-1]
	case v.IsArray():
		var b strings.Builder
		v.ForEach(func(_, p gjson.Result) bool {
			if text := p.Get("text"); text.Type == gjson.String {
				b.WriteString(inner(text))
			}
			return true
		})
		return b.String()
	case v.IsObject():
		quoted := encode(v.Raw)
		return string(quoted[1 : len(quoted)-1])
	default:
		return ""
	}
}

// prefixes of the ids of items.
var prefixes = map[string]string{thoughtItem: "rs_", messageItem: "msg_", functionItem: "fc_", customItem: "ctc_"}

// id is the item's, made of the job's so that it is the same wherever it is shown.
func (it *item) id(job string) string {
	id := completion.Alias(prefixes[it.kind], job)
	if it.kind == functionItem || it.kind == customItem {
		id += "_" + strconv.Itoa(it.nth)
	}
	return id
}
