package answer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
)

// maxChoices bounds how many choices one answer may have; OpenAI's own limit on n is 128, for each prompt of a text
// completion.
const maxChoices = 2048

// textObject is the object of a text completion, the same for its chunks.
const textObject = `"text_completion"`

// ErrShape is returned for a chunk that is not what a chat completion stream holds.
var ErrShape = errors.New("chunk is not a chat.completion.chunk")

// constantFields are the top-level fields of which the first value counts: they name the answer.
var constantFields = []string{"id", "object", "created", "model"}

// Answer is a chat completion, a text completion or a Response, that grows chunk by chunk. The zero value is an answer nobody has begun. It is for one
// goroutine at a time.
type Answer struct {
	fields  []field // the top-level fields but choices and usage, in order of appearance
	choices []*choice
	native  *native // set if it is a response instead
	usage   json.RawMessage
	chunks  int
	bytes   int
	scratch []byte
	thread  thread
}

// thread is what the chunks that fit a stencil continue.
type thread struct {
	Stencil
	text     *value // in the message of a choice
	from, to int    // where the choices begin in its head, and end in its tail
}

type field struct{ key, first, last string } // raw JSON; first and last value that was not null

type choice struct {
	index   int64
	message value
	rest    value // finish_reason, logprobs and whatever else a choice carries
}

// Add merges one upstream chunk and returns what a delta event has to say of it: its choices, its usage, and the other
// fields that changed, byte for byte. Of the events of a response's stream that is the whole event, save for its number and
// padding, and for what it repeats of the Response: the request, the output, and what has not changed. It returns nil for a
// chunk that says nothing new. Nothing of chunk is kept.
func (a *Answer) Add(chunk json.RawMessage) (json.RawMessage, error) {
	if text, fits := a.thread.Text(chunk); fits {
		return a.goOn(text, len(chunk)), nil
	}
	if a.chunks == 0 && Native(chunk) {
		a.native = &native{}
	}
	if a.native != nil {
		return a.addEvent(chunk)
	}
	root := gjson.Parse(unsafe.String(unsafe.SliceData(chunk), len(chunk))) // what is kept of it is copied
	if !root.IsObject() {
		return nil, ErrShape
	}
	slim, comma, shape := append(a.scratch[:0], '{'), false, true
	var choices gjson.Result
	news := false // beside the choices
	root.ForEach(func(k, v gjson.Result) bool {
		key := k.Raw[1 : len(k.Raw)-1]
		switch {
		case key == "choices":
			if v.Type != gjson.Null && v.Raw != "[]" {
				if choices.Exists() { // the key comes twice
					news, shape = true, a.addChoices(choices)
				}
				choices = v
				slim = append(appendKey(slim, &comma, key), v.Raw...)
			}
		case v.Type == gjson.Null:
		case key == "usage":
			a.usage, news = append(a.usage[:0:0], v.Raw...), true
			slim = append(appendKey(slim, &comma, key), v.Raw...)
		case a.set(key, v.Raw):
			news = true
			slim = append(appendKey(slim, &comma, key), v.Raw...)
		}
		return shape
	})
	a.scratch = slim
	if !shape || choices.Exists() && !a.addChoices(choices) {
		return nil, ErrShape
	}
	a.chunks++
	a.bytes += len(chunk)
	a.thread.Drop()
	if !comma {
		return nil, nil
	}
	if !news {
		a.learn(chunk, choices)
	}
	return slices.Clone(append(slim, '}')), nil
}

// learn lets the chunks that follow be recognised if this one is of the kind that only continues a text: its other fields say
// nothing new, and the next time no more.
func (a *Answer) learn(chunk json.RawMessage, choices gjson.Result) {
	at, name, text, ok := continued(choices)
	if !ok {
		return
	}
	held := a.find(at).message.find(name)
	if held == nil || held.kind != '"' {
		return
	}
	a.thread.Cut(chunk, text)
	a.thread.text, a.thread.from, a.thread.to = held, choices.Index, choices.Index+len(choices.Raw)-(text.Index+len(text.Raw)-1)
}

// goOn adds the text of a chunk of size bytes that fits the stencil, and returns what Add does.
func (a *Answer) goOn(text []byte, size int) json.RawMessage {
	s := &a.thread
	s.text.text = append(s.text.text, text...)
	a.chunks++
	a.bytes += size
	slim := make([]byte, 0, len(`{"choices":}`)+len(s.head)-s.from+len(text)+s.to)
	slim = append(append(slim, `{"choices":`...), s.head[s.from:]...)
	return append(append(append(slim, text...), s.tail[:s.to]...), '}')
}

// set notes a top-level field and reports whether it changed.
func (a *Answer) set(key, raw string) bool {
	for i := range a.fields {
		if f := &a.fields[i]; f.key == key {
			if f.last == raw {
				return false
			}
			f.last = strings.Clone(raw)
			return true
		}
	}
	raw = strings.Clone(raw)
	a.fields = append(a.fields, field{key: strings.Clone(key), first: raw, last: raw})
	return true
}

func (a *Answer) addChoices(list gjson.Result) bool {
	ok := list.IsArray()
	if !ok {
		return false
	}
	list.ForEach(func(_, c gjson.Result) bool {
		into := a.choice(indexOf(c))
		if ok = c.IsObject() && into != nil; !ok {
			return false
		}
		c.ForEach(func(k, v gjson.Result) bool {
			switch key := k.Raw[1 : len(k.Raw)-1]; key {
			case "index":
			case "delta":
				into.message.merge("", v, 0)
			case "finish_reason":
				if v.Type == gjson.String {
					*into.rest.member(key) = value{kind: '"', text: []byte(v.Raw[1 : len(v.Raw)-1])}
				}
			default:
				into.rest.member(key).merge(key, v, 1)
			}
			return true
		})
		return true
	})
	return ok
}

// indexOf is a choice's index, 0 if it says none. It takes a third of the stack that Get takes, of which each stream has one.
func indexOf(choice gjson.Result) (index int64) {
	choice.ForEach(func(k, v gjson.Result) bool {
		if k.Raw == `"index"` {
			index = v.Int()
			return false
		}
		return true
	})
	return index
}

// find returns the choice with that index, nil if there is none.
func (a *Answer) find(index int64) *choice {
	for _, c := range a.choices {
		if c.index == index {
			return c
		}
	}
	return nil
}

// choice returns the choice with that index, adding it if it is new; nil if there are too many.
func (a *Answer) choice(index int64) *choice {
	if c := a.find(index); c != nil {
		return c
	}
	if len(a.choices) == maxChoices {
		return nil
	}
	c := &choice{index: index, rest: value{kind: '{'}}
	a.choices = append(a.choices, c)
	slices.SortFunc(a.choices, func(x, y *choice) int { return cmp.Compare(x.index, y.index) })
	return c
}

// Empty reports whether no chunk has been added.
func (a *Answer) Empty() bool { return a.chunks == 0 }

// Usage is the upstream's last usage object, nil if it sent none.
func (a *Answer) Usage() json.RawMessage { return a.usage }

// Model is the model that answers, as the upstream names it; empty if it does not.
func (a *Answer) Model() string {
	fields := a.fields
	if a.native != nil {
		fields = a.native.fields
	}
	for _, f := range fields {
		if f.key == "model" {
			return gjson.Parse(cmp.Or(f.first, f.last)).Str
		}
	}
	return ""
}

// Estimate is a usage object for an answer whose upstream did not get to send one, which was paid for all the same:
// a token for each chunk, and one for each four bytes of the request's messages, prompt or input. It is marked as estimated. Nil while the
// answer is empty.
func (a *Answer) Estimate(request json.RawMessage) json.RawMessage {
	if a.Empty() {
		return nil
	}
	if a.native != nil {
		return a.native.estimate(request)
	}
	asked := 0
	for _, said := range gjson.GetManyBytes(request, "messages", "prompt", "input") {
		asked = cmp.Or(asked, len(said.Raw))
	}
	prompt := asked / 4
	return fmt.Appendf(nil, `{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"estimated":true}`,
		prompt, a.chunks, prompt+a.chunks)
}

// FinishReason is the first choice's, "" while it is not finished. That of a Response is stop, length, content_filter, or
// incomplete for another reason.
func (a *Answer) FinishReason() string {
	if a.native != nil {
		return a.native.finish()
	}
	if len(a.choices) == 0 {
		return ""
	}
	return a.choices[0].finish()
}

// Whole reports whether all choices that request asks for are finished: n, for each of its prompts; or the Response has ended.
func (a *Answer) Whole(request json.RawMessage) bool {
	if a.native != nil {
		return a.native.status != ""
	}
	want := prompts(request)
	if n := gjson.GetBytes(request, "n"); n.Type == gjson.Number {
		want *= max(n.Int(), 1)
	}
	for _, c := range a.choices {
		if c.finish() == "" {
			return false
		}
	}
	return int64(len(a.choices)) >= want
}

// prompts is how many prompts request has: several if its prompt is a list of texts or of lists of tokens, otherwise one.
func prompts(request json.RawMessage) int64 {
	list := gjson.GetManyBytes(request, "messages", "prompt.#", "prompt.0")
	if count, first := list[1].Int(), list[2]; !list[0].Exists() && (first.Type == gjson.String || first.IsArray()) {
		return count
	}
	return 1
}

func (c *choice) finish() string {
	if held := c.rest.find("finish_reason"); held != nil {
		return string(held.text)
	}
	return ""
}

// isText reports whether a is a text completion.
func (a *Answer) isText() bool {
	return slices.ContainsFunc(a.fields, func(f field) bool { return f.key == "object" && f.first == textObject })
}

// Completion renders the chat.completion, text_completion or Response object as it stands; nil while it is empty. What is not
// finished has a finish_reason of null, or a status of in_progress. A Response is without what repeats the request.
func (a *Answer) Completion() json.RawMessage {
	if a.Empty() {
		return nil
	}
	if a.native != nil {
		return a.response()
	}
	b, comma := make([]byte, 0, a.bytes/2+256), false
	b = append(b, '{')
	for _, f := range a.fields {
		b = appendKey(b, &comma, f.key)
		switch {
		case f.key == "object" && f.first != textObject:
			b = append(b, `"chat.completion"`...)
		case slices.Contains(constantFields, f.key):
			b = append(b, f.first...)
		default:
			b = append(b, f.last...)
		}
	}
	b = append(appendKey(b, &comma, "choices"), '[')
	text := a.isText()
	for i, c := range a.choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.append(b, text)
	}
	b = append(b, ']')
	if len(a.usage) > 0 {
		b = append(appendKey(b, &comma, "usage"), a.usage...)
	}
	return append(b, '}')
}

// append renders the choice of a completion: of a text completion with its text, of any other with its message.
func (c *choice) append(b []byte, text bool) []byte {
	comma := false
	b = append(b, '{')
	b = appendInt(appendKey(b, &comma, "index"), c.index)
	if !text || c.message.kind != 0 {
		message := complete(c.message)
		b = message.append(appendKey(b, &comma, "message"), false)
	} else if c.rest.find("text") == nil {
		b = append(appendKey(b, &comma, "text"), `""`...)
	}
	for _, m := range c.rest.members {
		b = m.held.append(appendKey(b, &comma, m.key), false)
	}
	if c.rest.find("finish_reason") == nil {
		b = append(appendKey(b, &comma, "finish_reason"), "null"...)
	}
	return append(b, '}')
}

// complete returns the message with the members that a chat completion's message always has.
func complete(message value) value {
	if message.kind != '{' {
		message = value{kind: '{'}
	}
	members := slices.Clone(message.members)
	if message.find("role") == nil {
		role := member{key: "role", held: &value{kind: '"', text: []byte("assistant")}}
		members = slices.Insert(members, 0, role)
	}
	if message.find("content") == nil {
		members = append(members, member{key: "content", held: &value{kind: 'n'}})
	}
	message.members = members
	return message
}
