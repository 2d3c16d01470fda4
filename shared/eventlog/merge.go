package eventlog

import (
	"context"
	"errors"

	"github.com/tidwall/sjson"

	"sluice/shared/completion"
)

// merge puts the past and the present together: whatever comes from either, in whatever order and how often, is
// passed on once and in order.
type merge struct {
	last    int64 // seq of the latest record passed on, or where the viewer started
	attempt int   // of that record; 0: not known
	muted   bool  // the text so far is not what the next delta adds to
	yield   func(completion.Record, error) bool
	final   bool // the log has ended
	left    bool // the viewer has
	soon    bool // look again after grace: the final event is about to come
}

func (m *merge) done() bool { return m.final || m.left }

// add takes the next record that is known to be stored. It reports whether more is wanted.
func (m *merge) add(r completion.Record) bool {
	switch {
	case m.done():
		return false
	case r.Seq == m.last && r.Type.Final(): // the viewer has seen the end before
		m.final = true
		return false
	case r.Seq <= m.last && r.Type.Final(): // the log began anew below what the viewer has seen, and ended there
		r = renumber(r, m.last+1)
	case r.Seq <= m.last:
		return true
	}
	m.judge(r, r.Seq > m.last+1)
	m.last = r.Seq
	if m.muted {
		return true
	}
	m.attempt = r.Attempt
	m.final = r.Type.Final()
	m.left = !m.yield(r, nil)
	return !m.done()
}

// judge decides whether r fits the text so far. A started or final event always does, unless it is a zombie's, and so do
// those of a batch, which each stand for themselves; what follows a hole (the log has discarded what was there) does not, nor
// what belongs to an attempt whose start the viewer has not seen.
func (m *merge) judge(r completion.Record, hole bool) {
	switch {
	case r.Type.Final(), r.Type == completion.EventLines, r.Type == completion.EventProgress:
		m.muted = false
	case r.Type == completion.EventStarted:
		m.muted = r.Attempt < m.attempt
	case hole, m.attempt != 0 && r.Attempt != m.attempt && r.Type != completion.EventStoring:
		m.muted = true
	}
}

func renumber(r completion.Record, seq int64) completion.Record {
	r.Seq = seq
	if data, err := sjson.SetBytes(r.Data, "seq", seq); err == nil {
		r.Data = data
	}
	return r
}

// reason is why a reader looks at the past.
type reason int

const (
	none    reason = iota
	first          // it has just come
	hole           // it has heard of an event beyond the next one
	doubt          // it may have missed something: messages were dropped, or the connection was
	silence        // nothing came for long
)

// past is where a reader finds what it has not heard live.
type past interface {
	// catchUp adds to m every stored record behind m.last. It tries until ctx ends.
	catchUp(ctx context.Context, m *merge, why reason) error
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
