package conductor

import (
	"context"
	"errors"
	"time"

	"sluice/api/internal/line"
	"sluice/shared/completion"
)

// What is fed in one transaction.
const (
	feedJobs  = 500
	feedLines = 5000 // twins among them
	feedBytes = 4 << 20
)

// feed makes jobs of lines until as many wait as may.
func (g *charge) feed(ctx context.Context) error {
	if g.stopping || g.b.Paused || g.b.State != completion.BatchInProgress || g.b.Checkpoint.Fed >= g.b.Counts.Total {
		return nil
	}
	share := g.shareOf(g.ref)
	room := share - g.waiting
	if 2*g.waiting > share {
		return nil // so that many are fed together
	}
	for room > 0 && g.b.Checkpoint.Fed < g.b.Counts.Total {
		jobs, err := g.cut(ctx, min(room, feedJobs))
		if err == nil {
			err = g.Store.FeedBatch(ctx, &g.b, jobs)
		}
		if err != nil {
			return g.fedNot(ctx, err)
		}
		g.moved = true
		room, g.waiting = room-len(jobs), g.waiting+len(jobs)
		if !g.enqueue(ctx, jobs) || len(jobs) == 0 { // or other things would wait for a long run of twins
			break
		}
	}
	g.lookAt = earlier(g.lookAt, time.Now().Add(min(lookSoon, g.Look)))
	return nil
}

// fedNot judges why lines were not fed: the state may have changed, which the row says.
func (g *charge) fedNot(ctx context.Context, err error) error {
	if !errors.Is(err, completion.ErrStale) {
		return err
	}
	b, readErr := g.Store.Batch(ctx, g.ref)
	switch {
	case readErr != nil:
		return readErr
	case b.Epoch != g.epoch:
		return err
	default:
		return errMoved // what was cut from the input is to be cut again
	}
}

// cut makes the next lines jobs, up to limit, and moves the checkpoint behind them.
func (g *charge) cut(ctx context.Context, limit int) ([]completion.Job, error) {
	in, err := g.open(ctx)
	if err != nil {
		return nil, err
	}
	if g.b.Deduplicate && g.twins == nil {
		g.twins = &twins{}
	}
	now := time.Now()
	jobs := make([]completion.Job, 0, limit)
	for n, size := 0, 0; n < feedLines && len(jobs) < limit && size < feedBytes && g.b.Checkpoint.Fed < g.b.Counts.Total; n++ {
		l, err := in.read(ctx)
		if err != nil {
			return nil, err
		}
		if g.twins.meet(&l) {
			if o := g.twins.original(l.Number); g.counted.Has(o) {
				g.rung = append(g.rung, o)
			}
		} else {
			jobs = append(jobs, line.Job(&g.b, &l, now))
			size += len(l.Body)
		}
		g.b.Checkpoint.Fed, g.b.Checkpoint.Offset = l.Number, l.Next
	}
	return jobs, nil
}

// enqueueLimit is how long a Conductor that stops still tries to enqueue what it has just fed.
const enqueueLimit = 2 * time.Second

// enqueue puts the jobs into the queue. What it does not take the sweeper enqueues; until then the lines count as waiting.
func (g *charge) enqueue(ctx context.Context, jobs []completion.Job) (ok bool) {
	tasks := make([]completion.Task, len(jobs))
	for i := range jobs {
		tasks[i] = jobs[i].Task()
	}
	ctx, cancel := linger(ctx, enqueueLimit)
	defer cancel()
	var failed error
	for _, err := range g.Queue.EnqueueAll(ctx, tasks) {
		if err != nil && !errors.Is(err, completion.ErrKnown) {
			failed = err
		}
	}
	if failed != nil {
		g.log.Warn("lines were not enqueued, the sweeper does it", "error", failed)
	}
	return failed == nil
}

// linger returns a context that ends some time after ctx.
func linger(ctx context.Context, d time.Duration) (context.Context, func()) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return own, func() {
		stop()
		cancel()
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
