package conductor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"sluice/api/internal/row"
	"sluice/shared/completion"
)

// charge is a batch that this process holds, and the work on it. But for what others may call, it is for one goroutine.
type charge struct {
	*Conductor
	ref    completion.Ref
	epoch  int
	inbox  *inbox
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the work has ended
	ending atomic.Bool   // the batch is about to be in a final state, in which nobody holds it
	log    *slog.Logger

	b completion.Batch
	course
}

// course is what is known of a batch in the middle of its work, besides its row. Whatever goes wrong, it is thrown away and
// made anew.
type course struct {
	input   *input // from Fed on; nil: not open
	twins   *twins // nil: the batch does not share answers
	page    row.Page
	counted completion.LineSet
	rung    []int // lines that may have ended
	waiting int   // lines in the queue, about
	floor   int   // lines up to this are counted
	mouth   mouth

	lookAt   time.Time
	saveAt   time.Time
	dirty    bool // there is something to save
	moved    bool // lines have ended or were fed since the last look
	stopping bool // no more lines are fed, and those that run shall end
	refresh  bool // the row may have changed
	turned   time.Time
}

func newCharge(c *Conductor, b completion.Batch, cancel context.CancelCauseFunc) *charge {
	return &charge{
		Conductor: c, ref: b.Ref(), epoch: b.Epoch, inbox: newInbox(), cancel: cancel, done: make(chan struct{}), b: b,
		log: c.Log.With("tenant", b.Tenant, "batch_id", b.ID),
	}
}

const (
	firstPause = 250 * time.Millisecond
	lastPause  = 10 * time.Second
)

// run works on the batch until it has ended, is lost, or ctx ends.
func (g *charge) run(ctx context.Context) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := g.conduct(ctx)
		g.input.close()
		switch {
		case err == nil, ctx.Err() != nil, isAny(err, completion.ErrStale):
			return
		case isAny(err, errMoved):
			g.log.Debug("the log of a batch has moved on, it is read again", "error", err)
		default:
			g.log.Warn("work on a batch was interrupted, it goes on from what is stored", "error", err)
		}
		if time.Since(began) > time.Minute {
			pause = firstPause
		}
		if !g.reload(ctx, pause) {
			return
		}
	}
}

// reload reads the row after a pause, until it can be had. It reports whether the batch is still the charge's.
func (g *charge) reload(ctx context.Context, pause time.Duration) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		b, err := g.Store.Batch(ctx, g.ref)
		if err == nil {
			g.b, g.course = b, course{}
			return b.Epoch == g.epoch
		}
		if isAny(err, completion.ErrNotFound) {
			return false
		}
		pause = min(2*pause, lastPause)
	}
}

// conduct brings the batch from wherever it stands to its end.
func (g *charge) conduct(ctx context.Context) error {
	if err := g.resume(ctx); err != nil {
		return err
	}
	for !g.b.State.Final() {
		if err := g.declare(ctx); err != nil {
			return err
		}
		var err error
		switch g.b.State {
		case completion.BatchValidating:
			err = g.validate(ctx)
		case completion.BatchInProgress:
			err = g.progress(ctx)
		case completion.BatchCancelling:
			if err = g.drain(ctx, completion.Cancelled); err == nil {
				err = g.finish(ctx, completion.BatchCancelled)
			}
		default:
			err = g.finish(ctx, completion.BatchCompleted)
		}
		switch {
		case isAny(err, completion.ErrCancelled, completion.ErrFinal): // the batch is elsewhere by now, as its State says
			g.mouth.owes = true
		case err != nil:
			return err
		}
	}
	return g.bye(ctx)
}

// resume learns what the row does not say: which lines are counted, and what the log has told beyond the checkpoint.
func (g *charge) resume(ctx context.Context) error {
	g.counted = slices.Clone(g.b.Checkpoint.Told)
	if g.b.Deduplicate && g.b.Checkpoint.Fed > 0 {
		if err := g.rewind(ctx); err != nil {
			return err
		}
	}
	switch {
	case g.written():
		for n := range g.b.Checkpoint.Fed {
			g.counted.Add(n + 1)
		}
	case g.b.State != completion.BatchValidating && g.b.Counts.Ended() != g.counted.Len():
		if err := g.recount(ctx); err != nil {
			return err
		}
	}
	return g.reopen(ctx)
}

// written reports whether the batch's files are whole.
func (g *charge) written() bool { return g.b.Output != "" || g.b.Faults != "" }

// recount counts all lines that have ended.
func (g *charge) recount(ctx context.Context) error {
	g.b.Counts, g.b.Usage, g.counted = completion.Counts{Total: g.b.Counts.Total}, completion.BatchUsage{}, nil
	for r, err := range (row.Source{Jobs: g.Store, Files: g.Files}).Sofar(ctx, &g.b, 0) {
		if err != nil {
			return err
		}
		g.count(r.Line, r.Job)
	}
	g.dirty = true
	return nil
}

// progress runs the lines until all have ended, or shall not run any more.
func (g *charge) progress(ctx context.Context) error {
	signal(g.fresh)
	for g.b.State == completion.BatchInProgress {
		switch {
		case g.written(): // which only an end before its time does in this state
			return g.finish(ctx, completion.BatchExpired)
		case g.b.Counts.Ended() == g.b.Counts.Total:
			return g.move(ctx, completion.BatchFinalizing)
		case !time.Now().Before(g.b.Deadline):
			return g.expire(ctx)
		}
		if err := g.turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// expire ends a batch whose time is over, as completed if all of its lines made it.
func (g *charge) expire(ctx context.Context) error {
	if err := g.drain(ctx, completion.Expired); err != nil || g.b.State != completion.BatchInProgress {
		return err
	}
	if g.b.Counts.Ended() == g.b.Counts.Total {
		states, err := g.Store.CountLines(ctx, g.ref)
		if err != nil {
			return err
		}
		if states[completion.Expired]+states[completion.Cancelled] == 0 {
			return g.move(ctx, completion.BatchFinalizing)
		}
	}
	return g.finish(ctx, completion.BatchExpired)
}

// drain ends what waits, and waits for what runs.
func (g *charge) drain(ctx context.Context, to completion.State) error {
	if g.b.InProgressAt.IsZero() {
		return nil // nothing was fed
	}
	state := g.b.State
	g.stopping = true
	if _, err := g.Store.EndLines(ctx, g.ref, to, time.Now()); err != nil {
		return err
	}
	g.lookAt = time.Time{}
	for g.b.State == state && g.b.Counts.Ended() < g.b.Checkpoint.Fed {
		if err := g.turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// move brings the batch into another state, and says so.
func (g *charge) move(ctx context.Context, to completion.BatchState) error {
	g.ending.Store(to.Final())
	if err := g.Store.MoveBatch(ctx, &g.b, to, time.Now()); err != nil {
		g.ending.Store(false)
		return err
	}
	g.dirty, g.mouth.owes = false, !to.Final()
	if to.Final() {
		g.log.Info("batch ended", "state", to, "completed", g.b.Counts.Completed, "failed", g.b.Counts.Failed)
	}
	return nil
}

// sync reads what others have made of the batch, and writes how far it is.
func (g *charge) sync(ctx context.Context) error {
	state, paused := g.b.State, g.b.Paused
	if err := g.Store.SaveBatch(ctx, &g.b); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	g.dirty, g.refresh, g.saveAt = false, false, time.Now().Add(saveEvery)
	if g.b.State != state || g.b.Paused != paused {
		g.mouth.owes = true
	}
	return nil
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
