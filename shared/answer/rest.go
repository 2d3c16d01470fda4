package answer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// progress is how far an answer has got, beside one of which some was sent before.
type progress int

// From the worst on, so that the least of several is that of the whole.
const (
	differs progress = iota // it says something else
	behind                  // so far, it is a part of the beginning of what was sent
	covers                  // it begins with all that was sent
)

// Rest compares a, a new attempt's answer so far, with what was sent of an earlier attempt's, so that a stream of the
// earlier one can go on with the new one if that is exact. It leaves both as they are.
//
// ok is false if they differ: nothing that comes can make a go on from sent. covered says that a begins with all of sent;
// chunk is then a chunk without id, object, created and model that, added to sent, makes its choices equal those of a, and
// nil if there is nothing to add. Until a is covered it may still be; one that has ended will not be.
//
// Texts are the same whatever their escapes, and are never cut inside an escape or a character, unless what was sent ends
// there. What names something (role, id, type, name, finish_reason) is equal or differs, as do the elements of arrays that
// have no index. Null and an empty text say nothing. A number or boolean replaces the one sent. Of the top-level fields,
// those that name the answer or its system are not compared; of the others and of usage, chunk has what is new.
//
// A Response cannot go on from another: its items are told apart by ids that no two attempts share.
//
// It takes as long as what was sent is long: ask for each chunk while a is not covered, then no more.
func (a *Answer) Rest(sent *Answer) (chunk json.RawMessage, covered, ok bool) {
	if a.native != nil || sent.native != nil {
		return nil, false, false
	}
	choices, p := a.restChoices(sent)
	if p != covers {
		return nil, false, p == behind
	}
	b, comma := []byte{'{'}, false
	if len(choices) > 0 {
		b = append(appendKey(b, &comma, "choices"), '[')
		b = append(append(b, bytes.Join(choices, []byte{','})...), ']')
	}
	for _, f := range a.fields {
		if !slices.Contains(constantFields, f.key) && f.key != "system_fingerprint" && !slices.ContainsFunc(sent.fields, func(s field) bool { return s.key == f.key && s.last == f.last }) {
			b = append(appendKey(b, &comma, f.key), f.last...)
		}
	}
	if len(a.usage) > 0 && !bytes.Equal(a.usage, sent.usage) {
		b = append(appendKey(b, &comma, "usage"), a.usage...)
	}
	if !comma {
		return nil, true, true
	}
	return append(b, '}'), true, true
}

// restChoices renders what is left of each choice that has something left.
func (a *Answer) restChoices(sent *Answer) (list [][]byte, p progress) {
	p, text := covers, a.isText()
	if !sent.Empty() && text != sent.isText() {
		return nil, differs
	}
	for _, s := range sent.choices {
		if a.find(s.index) == nil {
			p = behind
		}
	}
	for _, c := range a.choices {
		was := sent.find(c.index)
		if was == nil {
			list = append(list, c.appendDelta(nil, text))
			continue
		}
		left, q := c.after(was)
		if p = min(p, q); left != nil {
			list = append(list, left.appendDelta(nil, text))
		}
	}
	return list, p
}

// after returns what is left of c after sent, nil if nothing is.
func (c *choice) after(sent *choice) (left *choice, p progress) {
	message, p := c.message.after("", &sent.message)
	rest, q := c.rest.after("", &sent.rest)
	if message == nil && rest == nil {
		return nil, min(p, q)
	}
	left = &choice{index: c.index, rest: value{kind: '{'}}
	if message != nil {
		left.message = *message
	}
	if rest != nil {
		left.rest = *rest
	}
	return left, min(p, q)
}

// appendDelta renders the choice of a chunk, with the members that it always has.
func (c *choice) appendDelta(b []byte, text bool) []byte {
	comma := false
	b = append(b, '{')
	b = appendInt(appendKey(b, &comma, "index"), c.index)
	switch {
	case c.message.kind != 0:
		b = c.message.append(appendKey(b, &comma, "delta"), true)
	case !text:
		b = append(appendKey(b, &comma, "delta"), `{}`...)
	case c.rest.find("text") == nil:
		b = append(appendKey(b, &comma, "text"), `""`...)
	}
	for _, m := range c.rest.members {
		b = m.held.append(appendKey(b, &comma, m.key), true)
	}
	if c.rest.find("finish_reason") == nil {
		b = append(appendKey(b, &comma, "finish_reason"), "null"...)
	}
	return append(b, '}')
}

// silent reports whether v says nothing: there is none, it is null, or an empty text.
func (v *value) silent() bool {
	return v == nil || v.kind == 0 || v.kind == 'n' || v.kind == '"' && len(v.text) == 0
}

// after returns what is left of v, the member called key, after sent: what merged into sent makes it v. Nil if nothing is.
func (v *value) after(key string, sent *value) (left *value, p progress) {
	switch {
	case sent.silent() && (v.kind == 0 || v.kind == 'n' || sent != nil && v.kind == sent.kind && v.silent()):
		return nil, covers
	case sent.silent():
		return v, covers
	case v.silent():
		return nil, behind
	case v.kind != sent.kind:
		return nil, differs
	}
	switch v.kind {
	case '"':
		return v.afterText(sent, constant(key) || key == "finish_reason")
	case '{':
		return v.afterMembers(sent)
	case '[':
		return v.afterItems(key, sent)
	default:
		if bytes.Equal(v.text, sent.text) {
			return nil, covers
		}
		return v, covers
	}
}

func (v *value) afterText(sent *value, whole bool) (left *value, p progress) {
	text, p := textAfter(v.text, sent.text)
	switch {
	case whole && (len(text) > 0 || p == behind):
		return nil, differs
	case len(text) == 0:
		return nil, p
	default:
		return &value{kind: '"', text: text}, p
	}
}

func (v *value) afterMembers(sent *value) (left *value, p progress) {
	left, p = &value{kind: '{'}, covers
	for _, m := range sent.members {
		if !m.held.silent() && v.find(m.key) == nil {
			p = behind
		}
	}
	for _, m := range v.members {
		held, q := m.held.after(m.key, sent.find(m.key))
		if p = min(p, q); held != nil {
			left.members = append(left.members, member{key: m.key, held: held})
		}
	}
	if len(left.members) == 0 {
		return nil, p
	}
	return left, p
}

// afterItems compares arrays: elements with an index go on, those without are as they were.
func (v *value) afterItems(key string, sent *value) (left *value, p progress) {
	left, p = &value{kind: '['}, covers
	if len(v.items) < len(sent.items) {
		p = behind
	}
	for i, it := range v.items {
		if i >= len(sent.items) {
			left.items = append(left.items, it)
			continue
		}
		was, index := sent.items[i], it.index(key)
		more, q := it.after("", was)
		if index != was.index(key) || index == "" && (more != nil || q != covers) {
			return nil, differs
		}
		if p = min(p, q); more != nil {
			more.members = slices.Insert(more.members, 0, member{key: "index", held: it.find("index")})
			left.items = append(left.items, more)
		}
	}
	if len(left.items) == 0 {
		return nil, p
	}
	return left, p
}

// textAfter returns what is left of an escaped JSON string after another.
func textAfter(text, sent []byte) (left []byte, p progress) {
	switch {
	case bytes.HasPrefix(text, sent):
		return text[len(sent):], covers
	case bytes.HasPrefix(sent, text):
		return nil, behind
	}
	t, s := units{raw: text}, units{raw: sent}
	for {
		want, more := s.next()
		if !more && t.low != 0 {
			return nil, differs // the rest would begin with half a character
		}
		if !more {
			return text[t.at:], covers
		}
		if got, more := t.next(); !more {
			return nil, behind
		} else if got != want {
			return nil, differs
		}
	}
}

// units reads an escaped JSON string as UTF-16, so that however a character is escaped, its units are the same. What is
// not UTF-8 is itself, byte by byte.
type units struct {
	raw []byte
	at  int
	low rune // the second unit of a character of two; 0: none
}

func (u *units) next() (unit rune, ok bool) {
	switch {
	case u.low != 0:
		unit, u.low = u.low, 0
		return unit, true
	case u.at >= len(u.raw):
		return 0, false
	case u.raw[u.at] == '\\':
		return u.escape(), true
	}
	r, n := utf8.DecodeRune(u.raw[u.at:])
	if r == utf8.RuneError && n == 1 {
		r = utf8.MaxRune + 1 + rune(u.raw[u.at])
	} else if r > 0xffff {
		r, u.low = utf16.EncodeRune(r)
	}
	u.at += n
	return r, true
}

// escape reads an escape; the string is valid JSON.
func (u *units) escape() rune {
	c := u.raw[u.at+1]
	if c == 'u' {
		n, _ := strconv.ParseUint(string(u.raw[u.at+2:u.at+6]), 16, 16)
		u.at += 6
		return rune(n)
	}
	u.at += 2
	if i := bytes.IndexByte([]byte("bfnrt"), c); i >= 0 {
		return rune("\b\f\n\r\t"[i])
	}
	return rune(c)
}
