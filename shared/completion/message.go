package completion

import (
	"encoding/json"
	"strings"
)

// Text is what the message says in words: its content if that is a string, the texts of its parts, one below the other, if
// it is an array. What is neither says nothing.
func (m *Message) Text() string {
	var whole string
	if json.Unmarshal(m.Content, &whole) == nil {
		return whole
	}
	var parts []struct {
		Text json.RawMessage `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) != nil {
		return ""
	}
	var texts []string
	for _, p := range parts {
		var text string
		if json.Unmarshal(p.Text, &text) == nil && text != "" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "\n")
}
