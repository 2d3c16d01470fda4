package reply

import (
	"encoding/json"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

type thoughtJSON struct {
	ID      string            `json:"id"`
	Type    string            `json:"type"`
	Summary []json.RawMessage `json:"summary"`
	Content []json.RawMessage `json:"content"`
	Status  string            `json:"status"`
}

type messageJSON struct {
	ID      string            `json:"id"`
	Type    string            `json:"type"`
	Status  string            `json:"status"`
	Content []json.RawMessage `json:"content"`
	Role    string            `json:"role"`
}

type callJSON struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Status    string          `json:"status"`
	Arguments json.RawMessage `json:"arguments,omitempty"` // of a function
	Input     json.RawMessage `json:"input,omitempty"`     // of a custom tool
	CallID    json.RawMessage `json:"call_id"`
	Name      json.RawMessage `json:"name"`
}

type textJSON struct {
	Type        string            `json:"type"`
	Annotations []json.RawMessage `json:"annotations"`
	Logprobs    []json.RawMessage `json:"logprobs"`
	Text        json.RawMessage   `json:"text"`
}

type refusalJSON struct {
	Type    string          `json:"type"`
	Refusal json.RawMessage `json:"refusal"`
}

type thoughtPartJSON struct {
	Type string          `json:"type"`
	Text json.RawMessage `json:"text"`
}

var none = []json.RawMessage{} // an empty list, not null

// Output is what the response of job says: nothing before it has ended.
func Output(job completion.Job) []json.RawMessage {
	if !job.State.Final() {
		return none
	}
	if answer.IsResponse(job.Result) {
		return nativeOutput(job.Result)
	}
	items, list := read(job).items, none
	for i, it := range items {
		status := completed
		if i == len(items)-1 {
			status = ending(job)
		}
		list = append(list, it.render(job.ID, status))
	}
	return list
}

// ending is the status of the last item: nobody knows whether the ones before an interruption were ended, but they were
// followed by another.
func ending(job completion.Job) string {
	switch status, _ := stand(job); status {
	case completed:
		return completed
	case cancelled:
		return inProgress
	default:
		return incomplete
	}
}

// begun is the item as it is announced, before it says anything.
func (it *item) begun(job string) json.RawMessage {
	empty := *it
	empty.parts = nil
	return empty.render(job, inProgress)
}

func (it *item) render(job, status string) json.RawMessage {
	content := none
	var argument []byte
	for _, p := range it.parts {
		content = append(content, p.render())
		argument = p.text
	}
	switch it.kind {
	case thoughtItem:
		return encode(thoughtJSON{ID: it.id(job), Type: it.kind, Summary: none, Content: content, Status: status})
	case messageItem:
		return encode(messageJSON{ID: it.id(job), Type: it.kind, Status: status, Content: content, Role: "assistant"})
	}
	call := callJSON{ID: it.id(job), Type: it.kind, Status: status, CallID: quoted(it.callID), Name: quoted(it.name)}
	if it.callID == "" {
		call.CallID = encode("call_" + it.id(job))
	}
	if it.kind == customItem {
		call.Input = quoted(argument)
	} else {
		call.Arguments = quoted(argument)
	}
	return encode(call)
}

func (p *part) render() json.RawMessage {
	switch p.kind {
	case thoughtPart:
		return encode(thoughtPartJSON{Type: p.kind, Text: quoted(p.text)})
	case refusalPart:
		return encode(refusalJSON{Type: p.kind, Refusal: quoted(p.text)})
	default:
		return encode(textJSON{Type: textPart, Annotations: none, Logprobs: list(p.logprobs), Text: quoted(p.text)})
	}
}

// begun is the part as it is announced.
func (p *part) begun() json.RawMessage { return (&part{kind: p.kind}).render() }

// quoted puts back the quotes of an escaped text.
func quoted[T string | []byte](text T) json.RawMessage {
	return append(append(append(make([]byte, 0, len(text)+2), '"'), text...), '"')
}

func list(items []json.RawMessage) []json.RawMessage {
	if items == nil {
		return none
	}
	return items
}
