package modelsim

import (
	"fmt"
	"strconv"
	"strings"
)

// head renders the fields that every chunk, and the whole answer, begin with; n is the chunk's number.
func (a *answer) head(object string, n int) string {
	prefix := "chatcmpl"
	if a.req.text {
		prefix, object = "cmpl", "text_completion"
	}
	id, created := fmt.Sprintf("%s-sim%d", prefix, a.serial), a.created
	if a.script.idChanges {
		id, created = fmt.Sprintf("%s-%d", id, n), created+int64(n)
	}
	return `{"id":"` + id + `","object":"` + object + `","created":` + strconv.FormatInt(created, 10) +
		`,"model":"` + escape(a.req.Model) + `","system_fingerprint":"fp_sim"`
}

// tail renders the fields that every chunk but the last ends with.
func (a *answer) tail() string {
	if a.req.StreamOptions.IncludeUsage {
		return `,"usage":null}`
	}
	return "}"
}

// appendDelta appends the delta that says p.
func appendDelta(b []byte, p piece) []byte {
	switch p.kind {
	case toolName:
		b = append(append(b, `{"tool_calls":[{"index":0,"id":"call_sim","type":"function","function":{"name":"`...), p.text...)
		return append(b, `","arguments":""}}]}`...)
	case toolArguments:
		b = append(append(b, `{"tool_calls":[{"index":0,"function":{"arguments":"`...), p.text...)
		return append(b, `"}}]}`...)
	case reasoning:
		b = append(b, `{"reasoning_content":"`...)
	default:
		b = append(b, `{"content":"`...)
	}
	return append(append(b, p.text...), `"}`...)
}

func (a *answer) appendLogprobs(b []byte, pieces ...piece) []byte {
	if a.req.text || !bool(a.req.Logprobs) && !a.script.logprobs {
		return append(b, `,"logprobs":null`...)
	}
	b = append(b, `,"logprobs":{"content":[`...)
	comma := false
	for _, p := range pieces {
		if p.kind != spoken {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = append(append(append(b, `{"token":"`...), p.text...), `","logprob":-0.125,"bytes":null,"top_logprobs":[]}`...)
	}
	return append(b, `],"refusal":null}`...)
}

// whole renders the chat.completion.
func (a *answer) whole() []byte {
	b := append([]byte(a.head("chat.completion", 0)), `,"choices":[`...)
	for i := range a.req.choices() {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"index":`...), int64(i), 10)
		if a.req.text {
			b = append(append(b, `,"text":`...), a.texts()...)
		} else {
			b = append(append(b, `,"message":`...), a.message()...)
		}
		b = a.appendLogprobs(b, a.pieces...)
		b = append(b, `,"finish_reason":"`+a.reason+`"}`...)
	}
	b = append(b, ']')
	if !a.script.nousage {
		b = append(b, `,"usage":`+a.usage...)
	}
	return append(b, "}\n"...)
}

// texts is all that a text completion says, as JSON.
func (a *answer) texts() string {
	var all strings.Builder
	for _, p := range a.pieces {
		all.WriteString(p.text)
	}
	return `"` + all.String() + `"`
}

func (a *answer) message() string {
	var texts [toolArguments + 1]strings.Builder
	for _, p := range a.pieces {
		texts[p.kind].WriteString(p.text)
	}
	content, calls, thought := `"`+texts[spoken].String()+`"`, "", ""
	if name := texts[toolName].String(); name != "" {
		content = "null"
		calls = `,"tool_calls":[{"id":"call_sim","type":"function","function":{"name":"` + name + `","arguments":"` + texts[toolArguments].String() + `"}}]`
	}
	if texts[reasoning].Len() > 0 {
		thought = `,"reasoning_content":"` + texts[reasoning].String() + `"`
	}
	return `{"role":"assistant","content":` + content + `,"refusal":null` + thought + calls + "}"
}
