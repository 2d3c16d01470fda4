package jobs

import (
	"context"
	"errors"
	"time"

	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/salvage"
)

// cancel is I9: the store decides what a cancel means in the job's state; what is left is to tell the others.
func (f *Face) cancel(ctx context.Context, in *idInput) (*jobOutput, error) {
	ref, err := f.ref(in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, held, err := f.Store.Cancel(ctx, ref, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), enqueueLimit)
	defer done()
	if held {
		f.Bell.Cancel(ref)
	} else if job.State == completion.Running {
		job, err = f.bury(ctx, job)
	}
	if job.State == completion.Cancelled {
		if err = f.Log.Seal(ctx, job); err == nil {
			err = f.Queue.Forget(ctx, job.Task())
		}
	}
	if err != nil {
		f.Logger.Warn("cancel stored but not passed on yet", "job_id", job.ID, "error", err)
	}
	return &jobOutput{Body: f.view(job)}, nil
}

// bury ends a job in the place of its dead worker, with what that had said. If it cannot, or a worker takes the job
// meanwhile, the request to cancel stands and whoever runs the job next ends it.
func (f *Face) bury(ctx context.Context, job completion.Job) (completion.Job, error) {
	outcome, ok, err := salvage.Attempt(ctx, f.Log, job, func(r *answer.Recalled) (completion.State, *completion.Error) {
		if r.Ended != nil {
			return r.Ended.State, r.Ended.Error
		}
		return completion.Cancelled, completion.NewError(completion.CodeCancelled, "")
	})
	if err != nil || !ok {
		return job, err
	}
	ended, err := f.Store.Finish(ctx, job.Ref(), job.Attempt, outcome)
	switch {
	case err == nil, errors.Is(err, completion.ErrFinal):
		return ended, nil
	case errors.Is(err, completion.ErrStale):
		return job, nil
	default:
		return job, err
	}
}
