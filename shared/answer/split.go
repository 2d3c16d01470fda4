package answer

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// MaxChunk is the largest chunk that travels in one event, in bytes; a larger one is cut, see Split.
const MaxChunk = 96 << 10

// Split cuts a chunk that is larger than MaxChunk into several that, folded in order, mean the same: long strings are
// continued, long arrays extended. Chunks up to MaxChunk are returned as they are. Only what cannot be continued, such as
// one long element of an array whose elements have no index or a top-level field, whose last value counts, stays larger. An
// event of a response's stream is cut into fragments, see Fragments.
func Split(chunk json.RawMessage) []json.RawMessage { return AppendSplit(nil, chunk) }

// AppendSplit appends to list what Split returns.
func AppendSplit(list []json.RawMessage, chunk json.RawMessage) []json.RawMessage {
	if len(chunk) <= MaxChunk {
		return append(list, chunk) // as most are, without a list for it
	}
	return append(list, split(chunk, MaxChunk)...)
}

func split(chunk json.RawMessage, limit int) []json.RawMessage {
	if len(chunk) <= limit {
		return []json.RawMessage{chunk}
	}
	if Native(chunk) {
		return fragments(chunk, limit)
	}
	var list []json.RawMessage
	for _, p := range pieces("", gjson.ParseBytes(chunk), limit, 0) {
		list = append(list, json.RawMessage(p))
	}
	return list
}

// pieces cuts the value of the member called key.
func pieces(key string, v gjson.Result, limit, depth int) []string {
	switch {
	case len(v.Raw) <= limit || depth == maxDepth || constant(key) || key == "finish_reason" || depth == 1 && key != "choices":
		return []string{v.Raw}
	case v.Type == gjson.String:
		list := cut(v.Raw[1:len(v.Raw)-1], limit)
		for i := range list {
			list[i] = `"` + list[i] + `"`
		}
		return list
	case v.IsObject():
		p := packer{open: '{', shut: '}', limit: limit}
		v.ForEach(func(k, child gjson.Result) bool {
			for i, piece := range pieces(k.Str, child, limit, depth+1) {
				p.add(k.Raw+":"+piece, i > 0)
			}
			return true
		})
		return p.all()
	case v.IsArray():
		p := packer{open: '[', shut: ']', limit: limit}
		v.ForEach(func(_, item gjson.Result) bool {
			for i, piece := range itemPieces(key, item, limit, depth+1) {
				p.add(piece, i > 0)
			}
			return true
		})
		return p.all()
	default:
		return []string{v.Raw}
	}
}

// itemPieces cuts an element of the array called key if it has an index to continue it by.
func itemPieces(key string, item gjson.Result, limit, depth int) []string {
	index := itemIndex(key, item)
	if index == "" {
		return []string{item.Raw}
	}
	list := pieces("", item, limit, depth)
	for i, piece := range list {
		if !gjson.Get(piece, "index").Exists() {
			list[i] = `{"index":` + index + "," + piece[1:]
		}
	}
	return list
}

// packer puts parts together into objects or arrays of about limit bytes.
type packer struct {
	open, shut byte
	limit      int
	current    []byte
	full       []string
}

func (p *packer) add(part string, fresh bool) {
	if len(p.current) > 0 && (fresh || len(p.current)+len(part) > p.limit) {
		p.close()
	}
	if len(p.current) == 0 {
		p.current = append(p.current, p.open)
	} else {
		p.current = append(p.current, ',')
	}
	p.current = append(p.current, part...)
}

func (p *packer) close() {
	p.full = append(p.full, string(append(p.current, p.shut)))
	p.current = nil
}

func (p *packer) all() []string {
	switch {
	case len(p.current) > 0:
		p.close()
	case len(p.full) == 0: // empty, and large by its white space alone
		return []string{string([]byte{p.open, p.shut})}
	}
	return p.full
}

// cut cuts an escaped JSON string into pieces of at most limit bytes, never inside an escape, a surrogate pair or a
// character.
func cut(s string, limit int) []string {
	var list []string
	start := 0
	for at := 0; at < len(s); {
		n := unit(s[at:])
		if at+n-start > limit && at > start {
			list = append(list, s[start:at])
			start = at
		}
		at += n
	}
	return append(list, s[start:])
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
