package api

import (
	"context"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// grouped is the store of the intake: jobs that come together are stored with one statement. A job that it ends is shown with
// its request, which a Group's Finish may leave out.
type grouped struct {
	*store.Store
	group *store.Group
}

func (g grouped) Add(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
	return g.group.Add(ctx, job)
}
