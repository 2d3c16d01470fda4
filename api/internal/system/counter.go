package system

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/shared/completion"
)

// Noter keeps the counts of all processes together; see queue.Client.
type Noter interface {
	NoteAccepted(ctx context.Context, lane completion.Lane, n int64, at time.Time) error
}

const (
	noteEvery = time.Second
	// noteLimit is how long Redis is waited for; what it does not take is not counted, for it serves rates only.
	noteLimit = time.Second
)

// Counter counts the jobs that this process accepts, and notes them for all once a second. It is safe for concurrent use.
type Counter struct {
	noter Noter
	log   *slog.Logger

	mu sync.Mutex
	n  map[completion.Lane]int64
}

// NewCounter returns a Counter that has counted nothing.
func NewCounter(n Noter, log *slog.Logger) *Counter {
	return &Counter{noter: n, log: log, n: map[completion.Lane]int64{}}
}

// Add counts n jobs. It never blocks.
func (c *Counter) Add(lane completion.Lane, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[lane] += int64(n)
}

// Run notes what was counted until ctx ends.
func (c *Counter) Run(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.note(ctx)
		case <-ctx.Done():
			c.note(ctx)
			return nil
		}
	}
}

func (c *Counter) note(ctx context.Context) {
	c.mu.Lock()
	counted := c.n
	c.n = map[completion.Lane]int64{}
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer cancel()
	for lane, n := range counted {
		if err := c.noter.NoteAccepted(ctx, lane, n, time.Now()); err != nil {
			c.log.Debug("accepted jobs not counted", "lane", lane, "jobs", n, "error", err)
		}
	}
}
