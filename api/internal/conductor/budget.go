package conductor

import (
	"time"

	"sluice/shared/completion"
)

// How many lines wait in the queue: enough to keep the workers busy until more are fed, and so few that Redis stays small,
// a pause acts fast, and no batch is far ahead of another.
const (
	tenantWaiting = 2000 // of all batches of a tenant, unless its limit on queued jobs is lower
	firstWaiting  = 64   // of them, as long as it is not known how fast the workers are
	ahead         = 2 * time.Second
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

// divide shares the waiting lines out among the batches that have lines to feed. room is how many of a tenant may wait.
func divide(batches []completion.Batch, at time.Time, room func(tenant string) int) map[completion.Ref]int {
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
		g, total := tenants[ref.Tenant], room(ref.Tenant)
		least := min(leastWaiting, max(1, total/g.batches))
		rest := max(0, total-least*g.batches)
		shares[ref] = min(mostWaiting, least+rest*w/g.weight)
	}
	return shares
}

// meter knows how many lines of a tenant's batches are fed in a second. The batches of a tenant wait in one line, so each
// goes on as fast as its share of that line says: a share that followed the batch's own speed would keep a slow one slow.
type meter struct {
	at   time.Time
	fed  map[completion.Ref]int
	rate map[string]float64
}

// shortest is the time over which a rate means something.
const shortest = 500 * time.Millisecond

// note takes a look at all batches in progress. A rate falls by half at most, for a look may come at a bad moment.
func (m *meter) note(batches []completion.Batch, at time.Time) {
	elapsed := at.Sub(m.at)
	if elapsed < shortest {
		return
	}
	fed, rate := make(map[completion.Ref]int, len(batches)), map[string]float64{}
	for i := range batches {
		b := &batches[i]
		fed[b.Ref()] = b.Checkpoint.Fed
		if before, ok := m.fed[b.Ref()]; ok { // one that has just come, or come back, says nothing yet
			rate[b.Tenant] += float64(b.Checkpoint.Fed-before) / elapsed.Seconds()
		}
	}
	for tenant := range rate {
		rate[tenant] = max(rate[tenant], m.rate[tenant]/2)
	}
	m.at, m.fed, m.rate = at, fed, rate
}

// room is how many lines of the tenant may wait: what the workers take in the time ahead, but no more than queued, the
// tenant's limit on jobs that wait; 0: it has none.
func (m *meter) room(tenant string, queued int) int {
	room := min(tenantWaiting, max(firstWaiting, int(m.rate[tenant]*ahead.Seconds())))
	if queued > 0 {
		room = min(room, queued)
	}
	return room
}
