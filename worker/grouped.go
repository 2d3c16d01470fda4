package worker

import (
	"context"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// grouped is the store of a lane with so many jobs that their claims and their ends share statements. However many there
// are, a claim and an end are under way at once, so the other lane finds connections to the database (I10).
type grouped struct {
	*store.Store
	group *store.Group
}

func (g grouped) Claim(ctx context.Context, ref completion.Ref, worker string, at time.Time) (completion.Job, error) {
	return g.group.Claim(ctx, ref, worker, at)
}

func (g grouped) Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error) {
	return g.group.Finish(ctx, ref, attempt, o)
}
