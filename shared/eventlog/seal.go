package eventlog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// sealPause is for how long the end of a log must stand still before somebody restates a result there; it doubles with
// each time that was too short, up to 32-fold.
const sealPause = 100 * time.Millisecond

// Seal makes sure that the log of a job in a final state ends with its final event, appending it if the log ends
// otherwise. If the log may lack the end of what the job's result says (Unsaid), the whole result is said again before,
// after a started event (I4); only a result that holds a chunk above completion.MaxEventBytes is not. It may be repeated,
// and raced by others who seal and by the worker that goes on appending: one of them closes the log, and the others wait
// while it does. While JetStream is away it tries until ctx ends. The log of a line of a batch is only closed, not begun.
func (l *Log) Seal(ctx context.Context, job completion.Job) error {
	if !job.State.Final() {
		return fmt.Errorf("seal log of %s: the job is %s", job.ID, job.State)
	}
	return l.close(ctx, JobEnding(job))
}

// SealBatch is Seal for a batch in a final state.
func (l *Log) SealBatch(ctx context.Context, b completion.Batch) error {
	if !b.State.Final() {
		return fmt.Errorf("seal log of %s: the batch is %s", b.ID, b.State)
	}
	return l.close(ctx, BatchEnding(b))
}

// close is Seal for whatever has ended.
func (l *Log) close(ctx context.Context, end Ending) error {
	if end.restate != nil {
		end.restate = sync.OnceValue(end.restate)
	}
	for n := 0; ; n++ {
		err := l.closeOnce(ctx, end, n)
		switch {
		case err == nil, isAny(err, completion.ErrFinal):
			return nil
		case !isAny(err, completion.ErrStale, completion.ErrLogLost):
			return fmt.Errorf("seal log of %s: %w", end.Ref.Job, err)
		}
	}
}

// closeOnce is the try after n that were interrupted.
func (l *Log) closeOnce(ctx context.Context, end Ending, n int) error {
	t, err := l.open(ctx, end.Ref)
	var events []completion.Event
	if err == nil && end.restate != nil && !t.last.Type.Final() {
		events = end.restate() // before the log is looked at: it takes its time
		t, err = l.still(ctx, end.Ref, t, sealPause<<min(n, 5))
	}
	if err != nil || t.last.Type.Final() || t.pos == 0 && end.Quiet {
		return err
	}
	if t.pos == 0 && len(events) > 0 {
		t.last.Seq = beyond(end.Began)
	}
	for _, e := range append(slices.Clip(events), end.Final) {
		if err := t.Append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// beyond is a seq that no viewer can have seen of what began then, for a log that was lost and is begun anew by somebody
// who does not know how far it went: an event takes much longer than a microsecond. Were it lower, a viewer would take what
// is said again for what comes next.
func beyond(began time.Time) int64 {
	if began.IsZero() {
		return 0
	}
	return max(time.Since(began).Microseconds(), 0)
}

// still waits until the log has ended or has not moved for a while. A log that moves is being closed by another sealer or
// by its worker, and two that restate a long result must not interrupt each other for ever.
func (l *Log) still(ctx context.Context, ref completion.Ref, t *tail, pause time.Duration) (*tail, error) {
	for !t.last.Type.Final() {
		select {
		case <-time.After(pause + rand.N(pause)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		now, err := l.open(ctx, ref)
		if err != nil || now.pos == t.pos {
			return now, err
		}
		t = now
	}
	return t, nil
}

// restated are the events that say all of the job's result, as few as hold it.
func restated(job completion.Job) []completion.Event {
	chunks := answer.Restate(job.Result)
	if len(chunks) == 0 {
		return nil
	}
	at := time.Now()
	events := []completion.Event{{Type: completion.EventStarted, Attempt: job.Attempt, At: at, Model: job.Model, Upstream: job.Upstream}}
	for size := answer.MaxChunk; len(chunks) > 0; chunks = chunks[1:] {
		if len(chunks[0]) > completion.MaxEventBytes {
			return nil
		}
		if size += len(chunks[0]); size > answer.MaxChunk {
			events = append(events, completion.Event{Type: completion.EventDelta, Attempt: job.Attempt, At: at})
			size = len(chunks[0])
		}
		e := &events[len(events)-1]
		e.Chunks = append(e.Chunks, chunks[0])
	}
	return events
}
