package answer

import (
	"bytes"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Stencil recognises the chunks of a stream that are those of one before save for the inside of one string. Most are, because
// only the text goes on; to compare them costs a fraction of what it costs to parse them. The zero value recognises nothing.
type Stencil struct {
	head, tail []byte // what is around the inside of the string
	vain       int    // cuts since the last chunk that fitted
}

// maxVain is after how many cuts in vain a stream is taken for one whose chunks differ in more than a string.
const maxVain = 8

// Cut makes the stencil from a chunk and one of its strings, which lies there with its quotes at text.Index.
func (s *Stencil) Cut(chunk []byte, text gjson.Result) {
	if s.vain == maxVain {
		s.Drop()
		return
	}
	s.vain++
	s.head = append(s.head[:0], chunk[:text.Index+1]...)
	s.tail = append(s.tail[:0], chunk[text.Index+len(text.Raw)-1:]...)
}

// Drop makes the stencil recognise nothing until it is cut again.
func (s *Stencil) Drop() { s.head = s.head[:0] }

// Text returns the inside of the string, as it is escaped, if chunk has the stencil's shape and the string is one of JSON and in
// UTF-8. Then chunk is as valid as what the stencil was cut from.
func (s *Stencil) Text(chunk []byte) (text []byte, fits bool) {
	if len(s.head) == 0 || len(chunk) < len(s.head)+len(s.tail) || !bytes.HasPrefix(chunk, s.head) || !bytes.HasSuffix(chunk, s.tail) {
		return nil, false
	}
	text = chunk[len(s.head) : len(chunk)-len(s.tail)]
	if !insideOfString(text) {
		return nil, false
	}
	s.vain = 0
	return text, true
}

// insideOfString reports whether text may stand between the quotes of a JSON string (RFC 8259, 7).
func insideOfString(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ' || c == '"':
			return false
		case c == '\\':
			n := escape(text[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		}
	}
	return utf8.Valid(text)
}

// escape is the length of the escape that text begins with, 0 if it is none.
func escape(text []byte) int {
	switch {
	case len(text) < 2:
		return 0
	case bytes.IndexByte([]byte(`"\/bfnrt`), text[1]) >= 0:
		return 2
	case text[1] != 'u' || len(text) < 6:
		return 0
	}
	if len(bytes.Trim(text[2:6], "0123456789abcdefABCDEF")) > 0 {
		return 0
	}
	return 6
}

// Spoken returns the string by which a chunk's choices continue the answer, if they do nothing else: one choice, whose delta is
// one string that grows, and beside it nothing but an index and nulls.
func Spoken(choices gjson.Result) (text gjson.Result, ok bool) {
	_, _, text, ok = continued(choices)
	return text, ok
}

// continued is Spoken, with the choice's index and the string's name in the delta.
func continued(choices gjson.Result) (at int64, name string, text gjson.Result, ok bool) {
	count := 0
	choices.ForEach(func(_, choice gjson.Result) bool {
		count++
		at, ok = indexOf(choice), count == 1 && choice.IsObject()
		choice.ForEach(func(k, v gjson.Result) bool {
			switch {
			case k.Raw == `"delta"` && !text.Exists():
				name, text = only(v)
				ok = text.Type == gjson.String && !constant(name)
			case k.Raw != `"index"` && v.Type != gjson.Null:
				ok = false
			}
			return ok
		})
		return ok
	})
	return at, name, text, ok && text.Exists()
}

// only returns the member of an object that has one.
func only(object gjson.Result) (name string, held gjson.Result) {
	count := 0
	object.ForEach(func(k, v gjson.Result) bool {
		count++
		if k.Exists() {
			name, held = k.Raw[1:len(k.Raw)-1], v
		}
		return count == 1
	})
	if count != 1 {
		return "", gjson.Result{}
	}
	return name, held
}
