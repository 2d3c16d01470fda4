package answer

import (
	"encoding/json"

	"github.com/tidwall/gjson"
)

// Said is what the first choice of a chat completion says, as a JSON string in the upstream's own bytes: its content, of
// which only the texts count if it is a list of parts, or the refusal that came instead. Nil: it says nothing, or there is no
// choice.
func Said(result json.RawMessage) json.RawMessage {
	message := gjson.GetBytes(result, "choices.0.message")
	content := message.Get("content")
	if content.IsArray() {
		content = joined(content)
	}
	if content.Type != gjson.String || content.Raw == `""` {
		if refusal := message.Get("refusal"); refusal.Type == gjson.String {
			content = refusal
		}
	}
	if content.Type != gjson.String {
		return nil
	}
	return json.RawMessage(content.Raw)
}

// joined is the texts of a list of parts, one after the other, as one JSON string.
func joined(parts gjson.Result) gjson.Result {
	raw := []byte{'"'}
	parts.ForEach(func(_, part gjson.Result) bool {
		if text := part.Get("text"); text.Type == gjson.String {
			raw = append(raw, text.Raw[1:len(text.Raw)-1]...)
		}
		return true
	})
	if len(raw) == 1 {
		return gjson.Result{}
	}
	return gjson.Result{Type: gjson.String, Raw: string(append(raw, '"'))}
}
