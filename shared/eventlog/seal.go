package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// sealPause is how long a sealer waits at most for another writer that it has met.
const sealPause = 200 * time.Millisecond

// Seal makes sure that the log of a job in a final state ends with its final event, appending it if the log ends
// otherwise. If the log may lack the end of what the job's result says (Unsaid), the whole result is said again before,
// after a started event (I4). It may be repeated, and raced by others who seal and by the worker that goes on appending:
// one of them closes the log, and the others leave it to that one.
func (l *Log) Seal(ctx context.Context, job completion.Job) error {
	if !job.State.Final() {
		return fmt.Errorf("seal log of %s: the job is %s", job.ID, job.State)
	}
	for {
		err := l.seal(ctx, job)
		switch {
		case err == nil, isAny(err, completion.ErrFinal):
			return nil
		case !isAny(err, completion.ErrStale, completion.ErrLogLost):
			return fmt.Errorf("seal log of %s: %w", job.ID, err)
		}
		select { // two that restate a long result must not interrupt each other for ever
		case <-ctx.Done():
			return fmt.Errorf("seal log of %s: %w", job.ID, context.Cause(ctx))
		case <-time.After(rand.N(sealPause)):
		}
	}
}

func (l *Log) seal(ctx context.Context, job completion.Job) error {
	t, err := l.Open(ctx, job.Ref())
	if err != nil {
		return err
	}
	if job.Unsaid && !t.Last().Type.Final() {
		if err := restate(ctx, t, job); err != nil {
			return err
		}
	}
	return t.Append(ctx, job.FinalEvent())
}

// restate says the job's whole result.
func restate(ctx context.Context, t completion.Tail, job completion.Job) error {
	e := completion.Event{Type: completion.EventStarted, Attempt: job.Attempt, At: time.Now(), Model: job.Model, Upstream: job.Upstream}
	if err := t.Append(ctx, e); err != nil {
		return err
	}
	for _, chunk := range answer.Restate(job.Result) {
		e = completion.Event{Type: completion.EventDelta, Attempt: job.Attempt, At: time.Now(), Chunks: []json.RawMessage{chunk}}
		if err := t.Append(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
