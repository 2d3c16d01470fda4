package conductor

import (
	"time"

	"sluice/shared/completion"
)

// How many lines wait in the queue: enough to keep the workers busy until more are fed, and so few that Redis stays small,
// a pause acts fast, and no batch is far ahead of another.
const (
	tenantWaiting = 2000 // of all batches of a tenant, unless its limit on queued jobs is lower
	mostWaiting   = 1000 // of a batch
	leastWaiting  = 8    // of a batch, as long as its tenant has room for that
)

// weight is how many parts of its tenant's waiting lines a batch gets: more, the nearer its deadline is.
func weight(b *completion.Batch, at time.Time) int {
	window, left := b.Deadline.Sub(b.CreatedAt), b.Deadline.Sub(at)
	switch {
	case left*10 <= window:
		return 8
	case left*4 <= window:
		return 4
	case left*2 <= window:
		return 2
	default:
		return 1
	}
}

// divide shares the waiting lines out among the batches that have lines to feed. queued is a tenant's limit on jobs that
// wait; 0: it has none.
func divide(batches []completion.Batch, at time.Time, queued func(tenant string) int) map[completion.Ref]int {
	type group struct{ batches, weight int }
	tenants := map[string]group{}
	weights := map[completion.Ref]int{}
	for i := range batches {
		b := &batches[i]
		if b.Checkpoint.Fed >= b.Counts.Total {
			continue
		}
		w, g := weight(b, at), tenants[b.Tenant]
		weights[b.Ref()], tenants[b.Tenant] = w, group{g.batches + 1, g.weight + w}
	}
	shares := make(map[completion.Ref]int, len(weights))
	for ref, w := range weights {
		g, total := tenants[ref.Tenant], tenantWaiting
		if limit := queued(ref.Tenant); limit > 0 {
			total = min(total, limit)
		}
		least := min(leastWaiting, max(1, total/g.batches))
		rest := max(0, total-least*g.batches)
		shares[ref] = min(mostWaiting, least+rest*w/g.weight)
	}
	return shares
}
