package generate

import (
	"context"
	"errors"
	"time"

	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/salvage"
)

// salvageLimit is how long a new attempt waits for the log to learn what the one before has said.
const salvageLimit = 10 * time.Second

// resume ends the job without a generation if the attempt before was lost with its worker after it had said enough: its
// whole answer, or the outcome that was to be stored, is in the log (I2). A job that shall not run any more ends with
// what that attempt had said (I9). done is false if the job must be generated.
func (g *Generator) resume(ctx context.Context, job *completion.Job) (done bool, result error) {
	if job.Attempt == 1 {
		return false, nil
	}
	calm := context.WithoutCancel(ctx) // a cancel is what may have to be stored
	limited, cancel := context.WithTimeout(calm, salvageLimit)
	defer cancel()
	outcome, ok, err := salvage.Attempt(limited, g.events, *job, func(r *answer.Recalled) (completion.State, *completion.Error) {
		return salvage.Verdict(*job, r)
	})
	switch {
	case errors.Is(err, completion.ErrFinal): // the store does not know of the end: the log was closed in error
		g.log(job.Ref()).ErrorContext(ctx, "log is closed, the job is not", "attempt", job.Attempt)
		return false, nil
	case err != nil:
		g.log(job.Ref()).WarnContext(ctx, "what a lost attempt has said is not known", "attempt", job.Attempt, "error", err)
		return false, nil
	case !ok:
		return false, nil
	}
	g.log(job.Ref()).InfoContext(ctx, "lost attempt brought to its end", "attempt", job.Attempt, "state", outcome.State)
	stored, err := g.end(ctx, job, outcome, func() {})
	switch {
	case errors.Is(err, completion.ErrFinal):
		g.opts.Lost(job)
	case err != nil:
		return true, g.refused(ctx, job, err)
	}
	return true, g.seal(calm, stored)
}

// confirm asks the store whether job's attempt is still the latest, for as long as the store is away. completion.ErrStale:
// it is not.
func (g *Generator) confirm(ctx context.Context, job *completion.Job) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		stored, err := g.store.Get(ctx, job.Ref())
		switch {
		case err == nil && stored.Attempt != job.Attempt:
			return completion.ErrStale
		case err == nil:
			return nil
		case !transient(err):
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}
