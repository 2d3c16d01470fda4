package conductor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// mouth speaks on the batch's subject.
type mouth struct {
	tail   completion.Tail // nil: the log was not read yet
	queue  []utterance     // under way, the first one perhaps in the log already
	owes   bool            // a progress event
	behind bool            // some counted lines may not have been told
	floor  int             // lines up to this are told
	after  time.Time       // the log was away, and is to be tried again then
	silent bool            // that has been logged
}

// utterance is an event, and the lines that it tells of.
type utterance struct {
	event completion.Event
	lines []int
}

const (
	patience  = 2 * time.Second        // for one event, while the log is well
	probe     = 500 * time.Millisecond // for one, after that
	tryEvery  = 2 * time.Second
	readLimit = time.Minute
)

// errMoved means that memory does not agree with the log, or with the row: what is in them counts.
var errMoved = errors.New("the batch has moved on")

// away reports whether nothing new can be told now.
func (g *charge) away() bool { return g.mouth.tail == nil || len(g.mouth.queue) > 0 }

// say tells u after what is under way.
func (g *charge) say(ctx context.Context, u utterance) error {
	u.event.Attempt, u.event.At, u.event.Batch = g.epoch, time.Now(), g.b.Brief()
	g.mouth.queue = append(g.mouth.queue, u)
	return g.flush(ctx)
}

// declare tells where the batch stands, if that is due.
func (g *charge) declare(ctx context.Context) error {
	if !g.mouth.owes || g.away() {
		return nil
	}
	g.mouth.owes = false
	return g.say(ctx, utterance{event: completion.Event{Type: completion.EventProgress}})
}

// flush appends what is under way. An event whose outcome is not known is appended again as it is, which the log recognises.
func (g *charge) flush(ctx context.Context) error {
	m := &g.mouth
	for len(m.queue) > 0 && m.tail != nil && !time.Now().Before(m.after) {
		u := m.queue[0]
		ok, err := g.try(ctx, func(ctx context.Context) error { return m.tail.Append(ctx, u.event) })
		switch {
		case isAny(err, completion.ErrLogLost):
			if u.event.Type != completion.EventStarted {
				m.queue = append([]utterance{g.start()}, m.queue...)
			}
		case isAny(err, completion.ErrStale, completion.ErrFinal):
			return fmt.Errorf("%w: %s", errMoved, err.Error())
		case err != nil || !ok:
			return err
		default:
			m.queue = m.queue[1:]
			g.noteTold(u.lines, m.tail.Last().Seq)
		}
	}
	return nil
}

// try asks the log for something. While it is away (not ok) it is tried for a shorter time, and not too often.
func (g *charge) try(ctx context.Context, f func(context.Context) error) (ok bool, err error) {
	m, limit := &g.mouth, patience
	if m.silent {
		limit = probe
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = f(limited)
	switch {
	case err == nil:
		m.silent = false
		return true, nil
	case isAny(err, completion.ErrLogLost, completion.ErrStale, completion.ErrFinal):
		return false, err
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	}
	if !m.silent {
		g.log.Warn("the event log is away, the batch goes on and is told of later", "error", err)
	}
	m.silent, m.after = true, time.Now().Add(tryEvery)
	return false, nil
}

// noteTold takes account of an event in the log.
func (g *charge) noteTold(lines []int, seq int64) {
	for _, n := range lines {
		if g.counted.Has(n) { // Told never has a line that Counts does not
			g.b.Checkpoint.Told.Add(n)
		}
	}
	g.b.Checkpoint.Seq = seq
	g.dirty = g.dirty || len(lines) > 0
}

// reopen takes account of what the log has told beyond the checkpoint, if that was not done yet, and takes the log over.
func (g *charge) reopen(ctx context.Context) error {
	m := &g.mouth
	if m.tail != nil || time.Now().Before(m.after) {
		return nil
	}
	var tail completion.Tail
	ok, err := g.try(ctx, func(ctx context.Context) (err error) {
		tail, err = g.Events.Resume(ctx, g.ref, g.b.Checkpoint.Seq)
		return err
	})
	if err != nil || !ok {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	var lines []int
	if ok, err = g.try(limited, func(context.Context) (err error) {
		lines, err = g.beyond(limited)
		return err
	}); err != nil || !ok {
		return err
	}
	for page := range slices.Chunk(lines, g.page.Limit()) {
		if err := g.learn(ctx, g.twins.originals(page)); err != nil {
			return err
		}
	}
	g.noteTold(lines, tail.Last().Seq)
	m.tail, m.behind = tail, true
	if !g.b.State.Final() {
		m.queue = []utterance{g.start()}
	}
	return g.flush(ctx)
}

// beyond are the lines of the events above the checkpoint.
func (g *charge) beyond(ctx context.Context) (lines []int, err error) {
	for r, err := range g.Events.Read(ctx, g.ref) {
		if err != nil {
			return nil, err
		}
		if r.Type != completion.EventLines || r.Seq <= g.b.Checkpoint.Seq {
			continue
		}
		for _, n := range gjson.GetBytes(r.Data, "lines.#.line").Array() {
			lines = append(lines, int(n.Int()))
		}
	}
	return lines, nil
}

// start is the event that says that a conductor has taken the batch on, and where it stands.
func (g *charge) start() utterance {
	return utterance{event: completion.Event{Type: completion.EventStarted, Attempt: g.epoch, At: time.Now(), Model: g.b.Model, Batch: g.b.Brief()}}
}
