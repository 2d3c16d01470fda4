package api

import (
	"context"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// counted is a store that tells how many jobs it has taken.
type counted struct {
	*store.Store
	accepted func(lane completion.Lane, n int)
}

func (c counted) Add(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
	stored, created, err = c.Store.Add(ctx, job)
	if created && err == nil {
		c.accepted(job.Lane, 1)
	}
	return stored, created, err
}

func (c counted) FeedBatch(ctx context.Context, b *completion.Batch, jobs []completion.Job) error {
	err := c.Store.FeedBatch(ctx, b, jobs)
	if err == nil && len(jobs) > 0 {
		c.accepted(jobs[0].Lane, len(jobs))
	}
	return err
}
