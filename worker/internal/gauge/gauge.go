// Package gauge counts what a worker does, for who looks after the installation: how its jobs end, how its upstreams take
// its calls, how long until the first delta. The counts live in memory, for a quarter of an hour; the worker's heartbeat
// takes them along.
//
// It promises to hold nobody up. It leaves to others what the counts are added up to, and how to show them.
package gauge

import (
	"sync"
	"time"

	"sluice/shared/completion"
	"sluice/worker/internal/meter"
)

const (
	cell    = 5 * time.Second // what is counted together
	minute  = time.Minute
	quarter = 15 * time.Minute
)

// Gauge counts. It is safe for concurrent use.
type Gauge struct {
	mu        sync.Mutex
	lanes     map[completion.Lane]*ring[completion.Yield]
	upstreams []*Upstream
}

// New returns a Gauge that has counted nothing.
func New() *Gauge {
	g := &Gauge{lanes: map[completion.Lane]*ring[completion.Yield]{}}
	for _, lane := range completion.Lanes {
		g.lanes[lane] = newRing[completion.Yield](quarter)
	}
	return g
}

// Ended counts a job that has ended.
func (g *Gauge) Ended(job *completion.Job) {
	g.count(job.Lane, func(y *completion.Yield) {
		switch job.State {
		case completion.Completed:
			y.Completed++
		case completion.Failed:
			y.Failed++
		case completion.Cancelled:
			y.Cancelled++
		case completion.Expired:
			y.Expired++
		default:
			return
		}
		_, output := meter.Tokens(job.Usage)
		y.OutputTokens += output
		if !job.FirstTokenAt.IsZero() {
			y.FirstDelta.Add(job.FirstTokenAt.Sub(job.CreatedAt))
		}
	})
}

// Retried counts an attempt that another follows.
func (g *Gauge) Retried(job *completion.Job) {
	g.count(job.Lane, func(y *completion.Yield) { y.Retried++ })
}

func (g *Gauge) count(lane completion.Lane, change func(*completion.Yield)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.lanes[lane]; r != nil {
		change(r.at(time.Now()))
	}
}

// Lane adds to a lane's status what it did of late.
func (g *Gauge) Lane(status *completion.LaneStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, now := g.lanes[status.Lane], time.Now(); r != nil {
		r.each(now, minute, status.Minute.Add)
		r.each(now, quarter, status.Quarter.Add)
	}
}

// Upstreams is how the upstreams do that were given to Watch.
func (g *Gauge) Upstreams() []completion.UpstreamStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make([]completion.UpstreamStatus, 0, len(g.upstreams))
	for _, u := range g.upstreams {
		list = append(list, u.status(time.Now()))
	}
	return list
}
