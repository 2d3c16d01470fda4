// Package line reads the lines of a batch's file, says what is wrong with them, makes jobs of them, and writes the lines of
// its answers.
//
// A file holds one request on each line: a JSON object with custom_id, method, url and body. Lines end with a line feed, or a
// carriage return and a line feed; the last one may end with the file. A byte order mark at the start of the file is skipped,
// and so are blank lines at its end; both are errors elsewhere. Members that a line has besides the four are ignored.
//
// It promises that no file makes it hold more than one line of at most MaxBytes, that every bad line is named with its number,
// a code (see CodeJSON and those after it) and the path of what is wrong, and that an answer has the bytes that the
// synchronous endpoint would have answered with. Where files come from and go to is left to the caller.
package line

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"

	"sluice/api/internal/raw"
	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// MaxBytes is the longest line that is read: the largest body, and room for what is around it. A longer one is refused, and
// skipped without being held.
const MaxBytes = request.MaxBytes + 16<<10

// Position is a place between two lines of a file: after the line Number, at the byte Offset. The zero Position is the start.
type Position struct {
	Number int
	Offset int64
}

// Line is one request of a file. Of a bad line only Number, Offset and Next are sure to be set.
type Line struct {
	Number   int   // from 1
	Offset   int64 // of its first byte in the file
	Next     int64 // where the next line begins
	CustomID string
	Body     json.RawMessage
	Model    string
	Metadata map[string]string // that the body names; nil if there is none
}

// End is the position after the line, from which Read goes on.
func (l *Line) End() Position { return Position{Number: l.Number, Offset: l.Next} }

// Request is the line of a file that asks for the same, without a line feed. Members besides the four are not in it.
func (l *Line) Request(e completion.Endpoint) []byte {
	b := append(make([]byte, 0, len(l.Body)+len(l.CustomID)+96), `{"custom_id":`...)
	b = append(append(b, raw.Quote(l.CustomID)...), `,"method":"`+http.MethodPost+`","url":"`+string(e)+`","body":`...)
	return append(append(b, l.Body...), '}')
}

// Twins finds the lines of a file that ask for the same as an earlier one: those with the same body, byte for byte. The zero
// value is ready; lines must be given in their order, and from the first one on. It holds some 40 bytes for each distinct
// line.
type Twins struct{ first map[[16]byte]int32 }

// Original is the number of the first line with the same body: l's own if there was none before.
func (t *Twins) Original(l *Line) int {
	if t.first == nil {
		t.first = map[[16]byte]int32{}
	}
	key := digest(l.Body)
	if n, ok := t.first[key]; ok {
		return int(n)
	}
	t.first[key] = int32(l.Number) //nolint:gosec // at most completion.MaxBatchLines
	return l.Number
}

// digest stands for text where there is no room for it.
func digest(text []byte) [16]byte {
	sum := sha256.Sum256(text)
	return [16]byte(sum[:16])
}
