package salvage

import (
	"context"
	"errors"
	"time"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// Store is what End needs of the store.
type Store interface {
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error)
}

// Log is what End needs of the event log.
type Log interface {
	completion.Log
	Seal(ctx context.Context, job completion.Job) error
}

// End ends a running job that shall not go on and whose worker is dead: one whose cancel was requested, or whose deadline
// has passed. It returns the job as it stands then. A job that goes on, or that a worker takes meanwhile, is left to that
// worker, who ends it in the same way.
func End(ctx context.Context, store Store, log Log, ref completion.Ref) (completion.Job, error) {
	job, err := store.Get(ctx, ref)
	if err != nil || job.State != completion.Running {
		return job, err
	}
	outcome, ok, err := Attempt(ctx, log, job, func(r *answer.Recalled) (completion.State, *completion.Error) {
		return Verdict(job, r)
	})
	if err != nil || !ok {
		return job, err
	}
	ended, err := store.Finish(ctx, ref, job.Attempt, outcome)
	switch {
	case errors.Is(err, completion.ErrStale):
		return store.Get(ctx, ref)
	case err != nil && !errors.Is(err, completion.ErrFinal):
		return job, err
	}
	return ended, log.Seal(ctx, ended)
}

// Verdict is how a job ends whose latest attempt was lost with its worker; the empty state means that it goes on.
func Verdict(job completion.Job, r *answer.Recalled) (completion.State, *completion.Error) {
	switch {
	case r.Ended != nil:
		return r.Ended.State, r.Ended.Error
	case job.CancelRequested:
		return completion.Cancelled, completion.NewError(completion.CodeCancelled, "")
	case r.Answer.Whole(job.Request):
		return completion.Completed, nil
	case job.Overdue(time.Now()):
		return completion.Expired, completion.NewError(completion.CodeExpired, "")
	case job.Attempt-1-job.Tries-job.Returned > maxLost:
		return completion.Failed, completion.NewError(completion.CodeLost, "")
	default:
		return "", nil
	}
}

// maxLost is how many attempts of a job may be lost with their workers. A job that has lost more is likely to be what
// ends them, and fails.
const maxLost = 25
