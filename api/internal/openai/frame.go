package openai

import (
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"

	"sluice/api/internal/result"
	"sluice/shared/completion"
)

// frame puts around each chunk what is the same in all of them, which an event does not repeat.
type frame struct {
	text    bool   // of a text completion
	usage   bool   // the client wants the usage, in a chunk of its own at the end
	head    []byte // id, object and created
	model   string // as JSON
	tier    string // as JSON; empty: the upstream does not say
	system  string // the same of its fingerprint
	scratch []byte
}

func newFrame(job *completion.Job, usage bool) frame {
	f := frame{usage: usage, text: job.Endpoint == completion.EndpointCompletions}
	object := "chat.completion.chunk"
	if f.text {
		object = "text_completion"
	}
	f.head = append(f.head, `{"id":"`+result.ID(job)+`","object":"`+object+`","created":`...)
	f.head = strconv.AppendInt(f.head, job.CreatedAt.Unix(), 10)
	return f
}

// line renders a chunk; nil if it has nothing for the client. It is valid until the next call.
func (f *frame) line(chunk json.RawMessage) []byte {
	if len(chunk) == 0 {
		return nil
	}
	var choices gjson.Result
	var more []byte
	gjson.ParseBytes(chunk).ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "id", "object", "created", "usage":
		case "model":
			if f.model == "" {
				f.model = v.Raw
			}
		case "service_tier":
			f.tier = v.Raw
		case "system_fingerprint":
			f.system = v.Raw
		case "choices":
			choices = v
		default:
			more = append(append(append(append(more, ','), k.Raw...), ':'), v.Raw...)
		}
		return true
	})
	if len(more) == 0 && !choices.IsArray() {
		return nil
	}
	b := append(f.begin(), `,"choices":[`...)
	n := 0
	choices.ForEach(func(_, c gjson.Result) bool {
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = f.choice(b, c)
		return true
	})
	b = append(b, ']')
	if f.usage {
		b = append(b, `,"usage":null`...)
	}
	f.scratch = append(append(b, more...), '}')
	return f.scratch
}

// usageLine renders the chunk that tells the usage; nil if it is not wanted or not known.
func (f *frame) usageLine(usage json.RawMessage) []byte {
	if !f.usage || len(usage) == 0 {
		return nil
	}
	b := append(f.begin(), `,"choices":[],"usage":`...)
	return append(append(b, usage...), '}')
}

func (f *frame) begin() []byte {
	b := append(f.scratch[:0], f.head...)
	for _, m := range []struct{ key, value string }{{"model", f.model}, {"service_tier", f.tier}, {"system_fingerprint", f.system}} {
		if m.value != "" {
			b = append(append(b, `,"`+m.key+`":`...), m.value...)
		}
	}
	return b
}

// choice renders a choice with the members that the SDKs expect of each.
func (f *frame) choice(b []byte, c gjson.Result) []byte {
	needs := [...]result.Member{{"index", "0"}, {"delta", "{}"}, {"finish_reason", "null"}}
	if f.text {
		needs = [...]result.Member{{"index", "0"}, {"text", `""`}, {"finish_reason", "null"}}
	}
	return result.With(b, c, needs[:])
}
