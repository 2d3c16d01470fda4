package reply

import (
	"encoding/json"

	"sluice/shared/completion"
)

// Event is one event of a response's stream.
type Event struct {
	Type   string
	Number int64           // sequence_number
	Data   json.RawMessage // the whole object, on one line
}

// The types of events that are not named after a part.
const (
	created     = "response.created"
	itemAdded   = "response.output_item.added"
	itemDone    = "response.output_item.done"
	partAdded   = "response.content_part.added"
	partDone    = "response.content_part.done"
	errorEvent  = "error"
	divergedHow = "The answer had to be generated again, and differs from what was sent so far; get the response again."
)

// tags are the names that deltas of a part have: of the events, and of the member that holds the whole text at the end.
var tags = map[string]struct{ event, whole string }{
	textPart:     {"response.output_text", "text"},
	thoughtPart:  {"response.reasoning_text", "text"},
	refusalPart:  {"response.refusal", "refusal"},
	functionItem: {"response.function_call_arguments", "arguments"},
	customItem:   {"response.custom_tool_call_input", "input"},
}

// head is what every event has.
type head struct {
	Type   string `json:"type"`
	Number int64  `json:"sequence_number"`
}

type responseEvent struct {
	head
	Response json.RawMessage `json:"response"`
}

type itemEvent struct {
	head
	OutputIndex int             `json:"output_index"`
	Item        json.RawMessage `json:"item"`
}

// place is where a part belongs; a tool call's arguments have no content_index.
type place struct {
	ItemID       string `json:"item_id"`
	OutputIndex  int    `json:"output_index"`
	ContentIndex *int   `json:"content_index,omitempty"`
}

type partEvent struct {
	head
	place
	Part json.RawMessage `json:"part"`
}

type deltaEvent struct {
	head
	place
	Delta       json.RawMessage    `json:"delta"`
	Logprobs    *[]json.RawMessage `json:"logprobs,omitempty"` // of output text only
	Obfuscation string             `json:"obfuscation,omitempty"`
}

type doneEvent struct {
	head
	place
	Name      json.RawMessage    `json:"name,omitempty"` // of a function call
	Text      json.RawMessage    `json:"text,omitempty"`
	Refusal   json.RawMessage    `json:"refusal,omitempty"`
	Arguments json.RawMessage    `json:"arguments,omitempty"`
	Input     json.RawMessage    `json:"input,omitempty"`
	Logprobs  *[]json.RawMessage `json:"logprobs,omitempty"`
}

type failedEvent struct {
	head
	Code    completion.Code `json:"code"`
	Message string          `json:"message"`
	Param   *string         `json:"param"`
}

// Broken is the event that ends a viewer's stream before the response's end, for a fault that is the stream's alone. Its
// number is last, that of the last event that was sent, after which the viewer can resume; -1 if none was.
func Broken(err *completion.Error, last int64) Event {
	return Event{Type: errorEvent, Number: last, Data: encode(failedEvent{head: head{errorEvent, last}, Code: err.Code, Message: err.Message})}
}

// padding fills a delta up to a multiple of its length, so that its size on the wire says less about its text.
const padding = "................................"

func obfuscate(delta json.RawMessage) string { return padding[len(delta)%len(padding):] }
