package api

import (
	"context"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// counted is a store that tells how many lines of batches it has taken as jobs.
type counted struct {
	*store.Store
	accepted func(lane completion.Lane, n int)
}

func (c counted) FeedBatch(ctx context.Context, b *completion.Batch, jobs []completion.Job) error {
	err := c.Store.FeedBatch(ctx, b, jobs)
	if err == nil && len(jobs) > 0 {
		c.accepted(jobs[0].Lane, len(jobs))
	}
	return err
}
