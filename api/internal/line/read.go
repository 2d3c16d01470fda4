package line

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"sluice/shared/completion"
)

// Read yields the lines of a file of requests to endpoint e that r holds from the position from on, each once and in order,
// checked as far as a line can be by itself. A bad line is yielded with a *Fault, and reading goes on; a run of blank lines is
// one bad line, with the number of its first and the Next of its last. Any other error is the reader's, and the last. Faults of the whole file are left to Checker.
func Read(r io.Reader, from Position, e completion.Endpoint) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		s := &scanner{in: bufio.NewReaderSize(r, bufferSize), at: from}
		var blank *Line // the first of a run of blank lines
		for {
			l, text, err := s.next()
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil && AsFault(err) == nil:
				yield(l, err)
				return
			case err == nil && isBlank(text):
				if blank == nil {
					blank = &l
				}
				blank.Next = l.Next
				continue
			}
			if blank != nil && !yield(*blank, newFault(blank.Number, CodeJSON, "", "The line is empty; only the end of the file may have empty lines.")) {
				return
			}
			blank = nil
			if err == nil {
				err = l.parse(text, e)
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

const bufferSize = 64 << 10

var mark = []byte("\xef\xbb\xbf")

// scanner cuts a file into lines.
type scanner struct {
	in   *bufio.Reader
	at   Position
	text []byte // of the line, while it is put together
}

// next returns the next line with its text, which is valid until the next call, or with a Fault if it is too long; io.EOF
// after the last one.
func (s *scanner) next() (Line, []byte, error) {
	l := Line{Number: s.at.Number + 1, Offset: s.at.Offset}
	s.text = s.text[:0]
	size, long := int64(0), false
	for {
		part, err := s.in.ReadSlice('\n')
		size += int64(len(part))
		if long = long || size > MaxBytes+2; !long { // with its end
			s.text = append(s.text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil || errors.Is(err, io.EOF) && size > 0:
		case errors.Is(err, io.EOF):
			return l, nil, io.EOF
		default:
			return l, nil, fmt.Errorf("read line %d: %w", l.Number, err)
		}
		break
	}
	s.at = Position{Number: l.Number, Offset: l.Offset + size}
	l.Next = s.at.Offset
	text := bytes.TrimSuffix(bytes.TrimSuffix(s.text, []byte{'\n'}), []byte{'\r'})
	if l.Offset == 0 {
		text = bytes.TrimPrefix(text, mark)
	}
	if long || len(text) > MaxBytes {
		return l, nil, newFault(l.Number, CodeTooLarge, "", "The line is longer than %d bytes.", MaxBytes)
	}
	return l, text, nil
}

func isBlank(text []byte) bool { return len(bytes.TrimLeft(text, " \t\r")) == 0 }
