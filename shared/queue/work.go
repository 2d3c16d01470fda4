package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"go.opentelemetry.io/otel/propagation"

	"sluice/shared/completion"
)

// work is the handler that asynq calls. It stands between asynq's idea of a task and ours.
type work struct {
	base  context.Context // the handlers' context
	cfg   Config
	acks  *acks
	slots chan struct{} // asynq frees its slot when it loses a lease, although the handler goes on
}

// ProcessTask runs the handler in a context of ours: asynq's ends with the lease, although the generation is fine.
func (w *work) ProcessTask(ctx context.Context, t *asynq.Task) error {
	task := completion.Task{Lane: w.cfg.Lane}
	var err error
	if task.Ref, err = decode(t.Type(), t.Payload()); err != nil {
		return w.unreadable(ctx, err)
	}
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-w.base.Done():
		return &Again{Err: ErrStopping}
	case <-ctx.Done(): // asynq has given up on this delivery
		return ctx.Err()
	}
	id, _ := asynq.GetTaskID(ctx)
	w.acks.claim(id)
	err = w.cfg.Handler(w3c.Extract(w.base, propagation.MapCarrier(t.Headers())), task)
	return w.answer(ctx, id, task.Ref, err)
}

func (w *work) unreadable(ctx context.Context, err error) error {
	id, _ := asynq.GetTaskID(ctx)
	w.cfg.Log.Error("archived a task that cannot be read", "task_id", id, "error", err)
	return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
}

func (w *work) answer(ctx context.Context, id string, ref completion.Ref, err error) error {
	var again *Again
	switch {
	case err == nil, errors.As(err, &again):
	case errors.Is(err, ErrNotMine):
		if ctx.Err() == nil { // otherwise asynq has given up on this delivery and settles nothing
			w.acks.leave(id)
		}
		return nil
	default:
		w.cfg.Log.Warn("handler failed, the task comes again", "tenant", ref.Tenant, "job_id", ref.Job, "error", err)
		return unmarked{err}
	}
	return err
}

// drain waits until no handler runs and returns how many still do at the limit.
func (w *work) drain(limit time.Duration) (left int) {
	t := time.NewTimer(max(limit, 0))
	defer t.Stop()
	for n := range cap(w.slots) {
		select {
		case w.slots <- struct{}{}:
			continue
		default:
		}
		select {
		case w.slots <- struct{}{}:
		case <-t.C:
			return cap(w.slots) - n
		}
	}
	return 0
}

// unmarked hides what an error wraps from asynq, which would archive or drop the task for some.
type unmarked struct{ err error }

func (u unmarked) Error() string { return u.err.Error() }
