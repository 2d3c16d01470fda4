package upstream

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
	"unsafe"

	"sluice/shared/answer"
	"sluice/shared/completion"

	"github.com/tidwall/gjson"
)

const (
	lineBuffer = 1 << 10   // bytes, for each stream; longer lines are collected aside
	jsonSpace  = " \t\r\n" // the white space of JSON; the library does not take off more
)

var (
	bom = []byte("\xef\xbb\xbf")

	errNotChunk = errors.New("data is not a JSON object")
	errEmpty    = errors.New("the stream holds no chunk")
)

// filter reads an event stream and gives out its chunks. It ends with io.EOF after a complete answer and otherwise with a
// *completion.Error that never wraps io.EOF. Comments, other fields and blank lines are dropped; data lines that make up one
// chunk only together are joined; a chunk that is an error becomes one.
type filter struct {
	src      *bufio.Reader
	left     int64 // bytes that may still come
	classify func(fault) error
	native   bool // chunks are the events of a response's stream
	progress progress
	stencil  answer.Stencil

	out  []byte // the next chunk; nil: there is none yet
	err  error  // what comes after it
	done bool   // [DONE] was seen

	long       []byte // a line that is longer than the buffer of src
	event      []byte // data lines so far of a chunk that spans several
	errorEvent bool   // the event's name is "error"
	begun      bool   // a line was seen
	junk       bool   // a line was seen that belongs to no event stream
}

func newFilter(r io.Reader, limit int64, choices int) *filter {
	return &filter{src: bufio.NewReaderSize(r, lineBuffer), left: limit, progress: progress{want: choices}}
}

// next returns the next chunk. It is valid until the next call.
func (f *filter) next() (json.RawMessage, error) {
	for f.out == nil {
		if f.err != nil {
			return nil, f.err
		}
		line, err := f.line()
		f.err = f.take(line, err)
	}
	chunk := f.out
	f.out = nil
	return chunk, nil
}

// line reads one line with its end; without it if err is not nil. It is valid until the next call.
func (f *filter) line() ([]byte, error) {
	f.long = f.long[:0]
	for {
		part, err := f.src.ReadSlice('\n')
		if f.left -= int64(len(part)); f.left < 0 {
			return nil, tooLarge()
		}
		if len(f.long) == 0 && !errors.Is(err, bufio.ErrBufferFull) {
			return part, err
		}
		f.long = append(f.long, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return f.long, err
		}
	}
}

func tooLarge() error { return completion.NewError(completion.CodeAnswerTooLarge, "") }

// take deals with a line, and with the stream's end if that is what followed.
func (f *filter) take(line []byte, readErr error) error {
	if !f.begun {
		line = bytes.TrimPrefix(line, bom)
		f.begun = len(line) > 0
	}
	text := bytes.TrimRight(line, "\r\n")
	if first := bytes.TrimLeft(text, " \t"); len(first) > 0 && first[0] == '{' && f.progress.chunks == 0 && !f.junk {
		return f.whole(line, readErr)
	}
	var err error
	name, value, _ := bytes.Cut(text, []byte(":"))
	value = bytes.Trim(value, jsonSpace)
	switch {
	case len(text) == 0 && readErr == nil:
		err = f.endEvent()
	case len(name) == 0: // a comment
	case string(name) == "data":
		err = f.data(value, readErr)
	case string(name) == "event":
		f.errorEvent = string(value) == "error"
	case string(name) != "id" && string(name) != "retry":
		f.junk = true
	}
	if err == nil && readErr != nil {
		err = f.end(readErr)
	}
	return err
}

func (f *filter) data(value []byte, readErr error) error {
	switch {
	case len(value) == 0:
	case string(value) == "[DONE]":
		return f.finish()
	case len(f.event) == 0 && f.goesOn(value):
		f.progress.chunks++
		f.out = value
	case len(f.event) == 0 && validJSON(value):
		return f.chunk(value)
	case readErr == nil: // otherwise the line was cut
		f.event = append(append(f.event, value...), ' ')
	}
	return nil
}

// goesOn reports whether value is a chunk like one before save for its text, which is let through as that one was.
func (f *filter) goesOn(value []byte) bool {
	_, fits := f.stencil.Text(value)
	return fits && !f.errorEvent
}

// endEvent closes an event; it may hold a chunk that spans several lines.
func (f *filter) endEvent() error {
	defer func() { f.event, f.errorEvent = f.event[:0], false }()
	switch {
	case len(f.event) == 0:
		return nil
	case !validJSON(f.event):
		return garbage(errNotChunk)
	default:
		return f.chunk(bytes.TrimSpace(f.event))
	}
}

// chunk lets a chunk through.
func (f *filter) chunk(value []byte) error {
	chunk := clean(value)
	root := gjson.Parse(unsafe.String(unsafe.SliceData(chunk), len(chunk))) // nobody changes a chunk while it is looked at
	if !root.IsObject() {
		return garbage(errNotChunk)
	}
	if f.native {
		return f.happening(root, chunk)
	}
	var choices gjson.Result
	failed := f.errorEvent
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "choices":
			choices = v
		case "error":
			failed = failed || truthy(v)
		case "object":
			failed = failed || v.Str == "error"
		}
		return true
	})
	if failed {
		return f.classify(parseFault(value))
	}
	f.progress.add(choices)
	f.out = chunk
	f.stencil.Drop()
	if text, ok := answer.Spoken(choices); ok {
		f.stencil.Cut(chunk, text)
	}
	return nil
}

// clean is a chunk in one line and in UTF-8: the value itself, if it is that already.
func clean(value []byte) []byte {
	value = oneLine(value)
	if !utf8.Valid(value) {
		return appendUTF8(nil, value)
	}
	return value
}

// oneLine is JSON without line breaks, which may stand between its parts.
func oneLine(value []byte) []byte {
	if bytes.IndexByte(value, '\r') < 0 && bytes.IndexByte(value, '\n') < 0 {
		return value
	}
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		return value // it is not JSON, and refused elsewhere
	}
	return b.Bytes()
}

// finish ends the answer at [DONE].
func (f *filter) finish() error {
	f.done = true
	if err := f.endEvent(); err != nil {
		return err
	}
	if f.progress.chunks == 0 {
		return garbage(errEmpty)
	}
	if f.native {
		return completion.NewError(completion.CodeCut, "").Because(errUnended)
	}
	return io.EOF
}

// end judges a stream that ended with err and without [DONE].
func (f *filter) end(err error) error {
	var own *completion.Error
	switch {
	case errors.As(err, &own):
		return own
	case f.progress.finished(errors.Is(err, io.EOF)):
		return io.EOF
	case f.progress.chunks == 0 && f.junk:
		return garbage(errEmpty)
	case errors.Is(err, io.EOF):
		return completion.NewError(completion.CodeCut, "").Because(io.ErrUnexpectedEOF)
	default:
		return completion.NewError(completion.CodeCut, "").Because(err)
	}
}

func garbage(cause error) error {
	return completion.NewError(completion.CodeUpstreamGarbage, "").Because(cause)
}

// validJSON checks small values with gjson, which is several times faster but recurses without a limit.
func validJSON(b []byte) bool {
	if len(b) < 64<<10 {
		return gjson.ValidBytes(b)
	}
	return json.Valid(b)
}

func truthy(v gjson.Result) bool {
	switch v.Raw {
	case "null", "false", "0", `""`, "{}", "[]":
		return false
	}
	return true
}

// appendUTF8 appends JSON, with each byte that is not UTF-8 as the escape \udcNN.
func appendUTF8(b, value []byte) []byte {
	const hex = "0123456789abcdef"
	for len(value) > 0 {
		_, n := utf8.DecodeRune(value)
		if n == 1 && value[0] >= utf8.RuneSelf {
			b = append(b, '\\', 'u', 'd', 'c', hex[value[0]>>4], hex[value[0]&15])
		} else {
			b = append(b, value[:n]...)
		}
		value = value[n:]
	}
	return b
}
