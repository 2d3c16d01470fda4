// Package raw deals with bodies that are JSON already, which the faces for the OpenAI SDKs read and write as they are.
package raw

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// Output is an operation's answer.
type Output struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// JSON answers with b.
func JSON(b []byte) *Output { return &Output{ContentType: "application/json", Body: b} }

// Write answers with b.
func Write(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the client is gone; there is nobody to tell
}

// Quote returns s as JSON.
func Quote(s string) string {
	b, _ := json.Marshal(s) // a string always can
	return string(b)
}

// object describes a body whose members are OpenAI's to describe.
func object() *huma.Schema { return &huma.Schema{Type: "object", AdditionalProperties: true} }

// Takes describes what an operation takes, with an example.
func Takes(op *huma.Operation, example string) {
	op.RequestBody.Content["application/json"] = &huma.MediaType{Schema: object(), Example: json.RawMessage(example)}
}

// Answers describes what an operation answers; streams if it may be an event stream.
func Answers(op *huma.Operation, streams bool) {
	content := map[string]*huma.MediaType{"application/json": {Schema: object()}}
	if streams {
		content["text/event-stream"] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
	}
	op.Responses["200"] = &huma.Response{Description: "The answer", Content: content}
}
