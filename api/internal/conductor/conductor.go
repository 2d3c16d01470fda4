package conductor

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sluice/api/internal/line"
	"sluice/shared/completion"
)

// Parts are what a Conductor works with.
type Parts struct {
	Store  Store
	Queue  Queue
	Events Events
	Bell   Bell
	Files  Files
	Models line.Models
	Limits Limits
	Log    *slog.Logger // nil: slog.Default()
}

// Config has a Conductor's times; the zero value means the defaults.
type Config struct {
	TTL  time.Duration // a batch that its holder has not renewed for so long may be taken by another; 0: 10 s
	Look time.Duration // look for ended lines that nobody rang for this often; 0: 5 s
}

// Conductor looks after batches. New makes it, Run runs it.
type Conductor struct {
	Parts
	Config
	holder string
	checks chan struct{} // has an element for each input that is being checked
	wake   chan struct{} // holds one element after a ring for a batch that nobody here holds
	fresh  chan struct{} // holds one element after a batch has come into progress
	shares atomic.Pointer[map[completion.Ref]int]
	meter  meter // for Run's goroutine only

	mu      sync.Mutex
	charges map[completion.Ref]*charge
	running sync.WaitGroup
}

const (
	takeEvery  = time.Second // with a jitter of a quarter
	takeAtOnce = 16
	shareEvery = 1500 * time.Millisecond
	maxChecks  = 2 // inputs at a time, so that many or huge ones leave the processors to others
	leaveLimit = 2 * time.Second
)

// New returns a Conductor whose name no other process has.
func New(p Parts, c Config) *Conductor {
	if p.Log == nil {
		p.Log = slog.Default()
	}
	if c.TTL <= 0 {
		c.TTL = 10 * time.Second
	}
	if c.Look <= 0 {
		c.Look = 5 * time.Second
	}
	return &Conductor{
		Parts: p, Config: c, holder: "api_" + rand.Text(), checks: make(chan struct{}, maxChecks), wake: make(chan struct{}, 1),
		fresh: make(chan struct{}, 1), charges: map[completion.Ref]*charge{},
	}
}

// errLost is the cause with which the work on a batch ends that others may take on.
var errLost = errors.New("the batch is no longer held")

// Run looks after batches until ctx ends, and then returns nil. It stops at once, between two steps, and lets go of its
// batches for others to take on.
func (c *Conductor) Run(ctx context.Context) error {
	stop, err := c.Bell.OnBatch(c.ring)
	if err != nil {
		return err
	}
	defer stop()
	take, hold, share := time.NewTimer(0), time.NewTicker(c.TTL/4), time.NewTimer(0)
	defer hold.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-take.C:
			c.take(ctx)
			take.Reset(takeEvery*7/8 + mathrand.N(takeEvery/4))
		case <-c.wake:
			c.take(ctx)
		case <-hold.C:
			c.hold(ctx)
		case <-share.C:
			c.share(ctx)
			share.Reset(shareEvery)
		case <-c.fresh:
			c.share(ctx)
		}
	}
	c.running.Wait()
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	if err := c.Store.LeaveBatches(left, c.holder); err != nil {
		c.Log.Warn("batches could not be left, others take them on later", "error", err)
	}
	return nil
}

// take takes on all batches that nobody holds.
func (c *Conductor) take(ctx context.Context) {
	for {
		list, err := c.Store.TakeBatches(ctx, c.holder, c.TTL, takeAtOnce, time.Now())
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("batches not taken", "error", err)
		}
		for i := range list {
			c.start(ctx, list[i])
		}
		if len(list) < takeAtOnce {
			return
		}
	}
}

// start begins to work on a batch, after the work on it under an earlier lease has ended.
func (c *Conductor) start(ctx context.Context, b completion.Batch) {
	ctx, cancel := context.WithCancelCause(ctx)
	g := newCharge(c, b, cancel)
	c.mu.Lock()
	before := c.charges[b.Ref()]
	c.charges[b.Ref()] = g
	c.mu.Unlock()
	c.running.Go(func() {
		defer close(g.done)
		defer cancel(nil)
		if before != nil {
			before.cancel(errLost)
			<-before.done
		}
		g.run(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.charges[b.Ref()] == g {
			delete(c.charges, b.Ref())
		}
	})
}

// hold renews the leases, ends the work on batches that are lost, and passes on what has changed about the others.
func (c *Conductor) hold(ctx context.Context) {
	c.mu.Lock()
	mine := make([]*charge, 0, len(c.charges))
	for _, g := range c.charges {
		mine = append(mine, g)
	}
	c.mu.Unlock()
	if len(mine) == 0 {
		return
	}
	list, err := c.Store.HoldBatches(ctx, c.holder, c.TTL, time.Now())
	if err != nil {
		if ctx.Err() == nil {
			c.Log.Warn("batches not renewed", "error", err)
		}
		return // whoever takes them on meanwhile has a higher epoch
	}
	held := make(map[completion.Ref]*completion.Batch, len(list))
	for i := range list {
		held[list[i].Ref()] = &list[i]
	}
	for _, g := range mine {
		switch b := held[g.ref]; {
		case b != nil && b.Epoch == g.epoch:
			g.inbox.stands(b.State, b.Paused)
		case !g.ending.Load():
			g.cancel(errLost)
		}
	}
}

// share shares the waiting lines out anew.
func (c *Conductor) share(ctx context.Context) {
	c.mu.Lock()
	idle := len(c.charges) == 0
	c.mu.Unlock()
	if idle {
		return
	}
	list, err := c.Store.BatchShares(ctx, time.Now())
	if err != nil {
		if ctx.Err() == nil {
			c.Log.Warn("batches in progress not read, they share as before", "error", err)
		}
		return
	}
	now := time.Now()
	c.meter.note(list, now)
	shares := divide(list, now, func(tenant string) int { return c.meter.room(tenant, c.Limits.Of(tenant).Queued) })
	c.shares.Store(&shares)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.charges {
		signal(g.inbox.bell)
	}
}

// shareOf is how many lines of the batch may wait. Of one that is not known yet it is few.
func (c *Conductor) shareOf(ref completion.Ref) int {
	if shares := c.shares.Load(); shares != nil {
		if n, ok := (*shares)[ref]; ok {
			return n
		}
	}
	return leastWaiting
}

// ring passes a ring on to whoever works on the batch here. One without lines for an unknown batch may be for a new one.
func (c *Conductor) ring(ref completion.Ref, lines []int) {
	c.mu.Lock()
	g := c.charges[ref]
	c.mu.Unlock()
	if g != nil {
		g.inbox.ring(lines)
		return
	}
	if len(lines) > 0 {
		return
	}
	signal(c.wake)
}

// signal puts an element into a channel that has room for one.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
