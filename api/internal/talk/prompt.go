package talk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

const (
	bytesPerToken    = 3
	tokensPerMessage = 4
	tokensPerPart    = 1000 // of what is no text, such as an image
	pathPage         = 200  // messages that are read at a time
)

// path reads the latest messages, at most limit, of the path that ends with the message from, oldest first.
type path func(ctx context.Context, from string, limit int) ([]completion.Message, error)

// saying is one message of a prompt.
type saying struct {
	role    completion.Role
	content json.RawMessage // a JSON string or an array
}

const roleSystem completion.Role = "system"

// quote returns a text as JSON.
func quote(text string) json.RawMessage {
	b, _ := json.Marshal(text) // a string always can
	return b
}

// weight is about how many tokens a message has.
func weight(content json.RawMessage) int {
	v := gjson.ParseBytes(content)
	if v.Type == gjson.String {
		return tokensPerMessage + (len(v.Str)+bytesPerToken-1)/bytesPerToken
	}
	text, others := 0, 0
	v.ForEach(func(_, part gjson.Result) bool {
		if t := part.Get("text"); t.Type == gjson.String {
			text += len(t.Str)
		} else {
			others++
		}
		return true
	})
	return tokensPerMessage + (text+bytesPerToken-1)/bytesPerToken + others*tokensPerPart
}

// silent reports whether an answer has no text, so that there is nothing to tell the model of it.
func silent(m *completion.Message) bool {
	return m.Role == completion.RoleAssistant && m.Text() == ""
}

// prompt is what is to be answered, and from what.
type prompt struct {
	parameters completion.Parameters // all that is to be said of it, merged
	system     string
	above      string   // the message that came before; empty: none
	last       []saying // what is to be answered
}

// render reads as much of the path as fits, and returns a body for chat completions (C6): the system message, the latest
// messages of the path and what is to be answered. Of the path, answers without text are left out, and the first message
// that does not fit any more is the end; the system message and what is to be answered are always there.
func (p *prompt) render(ctx context.Context, read path) (json.RawMessage, error) {
	room, tokens := p.parameters.ContextMessages-len(p.last), p.parameters.ContextTokens
	if p.system != "" {
		tokens -= weight(quote(p.system))
	}
	for _, s := range p.last {
		tokens -= weight(s.content)
	}
	var before []saying // the newest first
	for from := p.above; from != "" && room > 0; {
		page, err := read(ctx, from, min(room, pathPage))
		if err != nil {
			return nil, fmt.Errorf("read what was said: %w", err)
		}
		from = ""
		for i := len(page) - 1; i >= 0; i-- {
			m := &page[i]
			from = m.Parent
			if silent(m) {
				continue
			}
			if room--; room < 0 {
				break
			}
			if tokens -= weight(m.Content); tokens < 0 {
				room = 0
				break
			}
			before = append(before, saying{m.Role, m.Content})
		}
	}
	return p.body(before), nil
}

// body is the request of a chat completion.
func (p *prompt) body(before []saying) json.RawMessage {
	said := p.parameters
	said.ContextMessages, said.ContextTokens = 0, 0
	b, _ := json.Marshal(said) // numbers, which are no NaN by now, and texts
	b = append(b[:len(b)-1], `,"messages":[`...)
	if p.system != "" {
		b = append(saying{roleSystem, quote(p.system)}.append(b), ',')
	}
	for i := len(before) - 1; i >= 0; i-- {
		b = append(before[i].append(b), ',')
	}
	for _, s := range p.last {
		b = append(s.append(b), ',')
	}
	return append(b[:len(b)-1], "]}"...)
}

func (s saying) append(b []byte) []byte {
	b = append(append(append(b, `{"role":"`...), s.role...), `","content":`...)
	return append(append(b, s.content...), '}')
}
