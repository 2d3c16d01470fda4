package generate

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// maxChunk is the largest chunk that travels in one event, in bytes; a larger one is split, see split.
const maxChunk = 96 << 10

// split cuts a chunk that is too large for one event into several that mean the same: the long strings of its deltas
// are continued over further chunks. Chunks up to maxChunk are returned as they are.
func split(chunk json.RawMessage) []json.RawMessage {
	if len(chunk) <= maxChunk {
		return []json.RawMessage{chunk}
	}
	head, tails := chunk, []json.RawMessage(nil)
	for i, c := range gjson.GetBytes(chunk, "choices").Array() {
		c.Get("delta").ForEach(func(k, v gjson.Result) bool {
			if v.Type != gjson.String || len(v.Raw) <= maxChunk/4 || constant(k.Str) {
				return true
			}
			pieces := cut(v.Raw[1:len(v.Raw)-1], maxChunk/2)
			path := "choices." + string(appendInt(nil, int64(i))) + ".delta." + gjson.Escape(k.Str)
			shorter, err := sjson.SetRawBytes(head, path, quote(pieces[0]))
			if err != nil {
				return true
			}
			head = shorter
			for _, p := range pieces[1:] {
				tails = append(tails, continuation(c.Get("index").Int(), k.Raw, p))
			}
			return true
		})
	}
	return append([]json.RawMessage{head}, tails...)
}

func continuation(index int64, key, text string) json.RawMessage {
	b := appendInt([]byte(`{"choices":[{"index":`), index)
	b = append(append(b, `,"delta":{`...), key...)
	b = append(append(b, ':'), quote(text)...)
	return append(b, `},"finish_reason":null}]}`...)
}

func quote(escaped string) []byte { return append(append([]byte{'"'}, escaped...), '"') }

// cut cuts an escaped JSON string into pieces of at most limit bytes, never inside an escape, a surrogate pair or a
// character.
func cut(s string, limit int) []string {
	var pieces []string
	start := 0
	for at := 0; at < len(s); {
		n := unit(s[at:])
		if at+n-start > limit && at > start {
			pieces = append(pieces, s[start:at])
			start = at
		}
		at += n
	}
	return append(pieces, s[start:])
}

// unit is the length of the first character of an escaped JSON string.
func unit(s string) int {
	switch {
	case s[0] != '\\':
		_, n := utf8.DecodeRuneInString(s)
		return n
	case len(s) < 6 || s[1] != 'u':
		return min(2, len(s))
	case len(s) >= 12 && (s[2] == 'd' || s[2] == 'D') && s[3] >= '8' && s[6] == '\\' && s[7] == 'u':
		return 12
	default:
		return 6
	}
}
