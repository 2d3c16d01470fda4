package jobs

import (
	"context"
	"time"

	"sluice/shared/completion"
	"sluice/shared/salvage"
)

// cancel is I9: the store decides what a cancel means in the job's state; what is left is to tell the others.
func (f *Face) cancel(ctx context.Context, in *idInput) (*jobOutput, error) {
	ref, err := ref(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, held, err := f.Store.Cancel(ctx, ref, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), enqueueLimit)
	defer done()
	switch {
	case held:
		f.Bell.Cancel(ref)
	case job.State == completion.Running: // its worker is dead
		var ended completion.Job
		if ended, err = salvage.End(ctx, f.Store, f.Log, ref); err == nil {
			job = ended
		}
		f.Bell.Cancel(ref) // or only thought to be dead: then it stops spending
	case job.State == completion.Cancelled:
		if err = f.Log.Seal(ctx, job); err == nil {
			err = f.Queue.Forget(ctx, job.Task())
		}
	}
	if err != nil {
		f.Logger.Warn("cancel stored but not passed on yet", "job_id", job.ID, "error", err)
	}
	return &jobOutput{Body: f.view(job)}, nil
}
