package answer

import (
	"encoding/json"

	"github.com/tidwall/gjson"
)

// Said is what the first choice of a chat completion says, as a JSON string in the upstream's own bytes: its content, of
// which only the texts count if it is a list of parts, or the refusal that came instead. Bytes that no JSON string may have
// are escaped. Nil: it says nothing, or there is no choice.
func Said(result json.RawMessage) json.RawMessage {
	message := gjson.GetBytes(result, "choices.0.message")
	said := stringOf(message.Get("content"))
	if len(said) <= len(`""`) {
		if refusal := stringOf(message.Get("refusal")); refusal != nil {
			return refusal
		}
	}
	return said
}

// stringOf is a string, or the texts of a list of parts one after the other, as one JSON string; nil if v is neither.
func stringOf(v gjson.Result) json.RawMessage {
	switch {
	case v.IsArray():
		var whole json.RawMessage
		v.ForEach(func(_, part gjson.Result) bool {
			text := part.Get("text")
			switch {
			case text.Type != gjson.String:
			case whole == nil:
				whole = stringOf(text)
			default:
				whole = append(whole[:len(whole)-1], stringOf(text)[1:]...)
			}
			return true
		})
		return whole
	case v.Type != gjson.String:
		return nil
	case gjson.Valid(v.Raw):
		return json.RawMessage(v.Raw)
	default:
		escaped, _ := json.Marshal(v.Str) // of a string, which always can be
		return escaped
	}
}
