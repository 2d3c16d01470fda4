package answer

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"
)

// fragmentType is the type of chunks that hold pieces of an event which is too large to travel in one. No upstream's
// events have it.
const fragmentType = "sluice.fragment"

var fragmentStart = []byte(`{"type":"` + fragmentType + `"`)

// Fragments puts events together again that Split has cut.
type Fragments struct{ held []byte }

// Join returns the event that chunk is or completes; whole is false while there is more to come.
func (f *Fragments) Join(chunk json.RawMessage) (event json.RawMessage, whole bool) {
	if !bytes.HasPrefix(chunk, fragmentStart) {
		f.held = nil
		return chunk, true
	}
	piece := gjson.ParseBytes(chunk)
	f.held = append(f.held, piece.Get("data").Str...)
	if piece.Get("more").Bool() {
		return nil, false
	}
	event, f.held = f.held, nil
	return event, true
}

// fragments cuts an event into pieces of at most limit bytes.
func fragments(event json.RawMessage, limit int) []json.RawMessage {
	var list []json.RawMessage
	size := max((limit-64)/2, 16) // a quote needs two bytes
	for more := true; more; {
		n := min(size, len(event))
		for n < len(event) && event[n]&0xc0 == 0x80 && n > size-4 { // not inside a character
			n--
		}
		more = n < len(event)
		b := append(fragmentStart[:len(fragmentStart):len(fragmentStart)], `,"data":"`...)
		for _, c := range event[:n] {
			b = appendEscaped(b, c)
		}
		list = append(list, fmt.Appendf(b, `","more":%t}`, more))
		event = event[n:]
	}
	return list
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default: // JSON has no other control characters
		return append(b, c)
	}
}
