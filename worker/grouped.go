package worker

import (
	"context"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// grouped is the store of a lane. Claims that come together share statements, and so do ends. However many there are, one
// statement of each kind is under way, so the other lane finds connections to the database (I10).
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
