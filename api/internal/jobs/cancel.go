package jobs

import "context"

func (f *Face) cancel(ctx context.Context, in *idInput) (*jobOutput, error) {
	ref, err := ref(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, err := f.Intake.Cancel(ctx, ref)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &jobOutput{Body: f.view(job)}, nil
}
