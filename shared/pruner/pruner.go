// Package pruner deletes what has ended and is old enough: jobs, batches with their lines, deleted conversations, files,
// deliveries, and what is left of days and workers.
//
// It promises to be no burden: it works in the background, in chunks that take a fraction of a second, with pauses of four times as
// long, and of all processes one does it. It can be stopped or killed at any point; whoever comes next goes on. What must
// stay is decided by package store (Old), and besides nothing goes whose end may still have to be told: the log of what ended
// within the age of events is sealed first (I3). Whoever looks for what is gone finds it as little as what never was.
package pruner

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	randv2 "math/rand/v2"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is what there is to prune.
type Store interface {
	TakeLease(ctx context.Context, l store.Lease, at time.Time, early bool) (taken bool, err error)
	LeaveLease(ctx context.Context, l store.Lease, next time.Time) error
	Old(ctx context.Context, kind store.Kind, before, at time.Time, limit int) ([]store.Old, error)
	CountOld(ctx context.Context, kind store.Kind, before, at time.Time) (int, error)
	Drop(ctx context.Context, l store.Lease, kind store.Kind, ids []string, at time.Time) (dropped int, err error)
	DropQuotaDays(ctx context.Context, l store.Lease, before, at time.Time, limit int) (dropped int, err error)
	DropWorkers(ctx context.Context, l store.Lease, before, at time.Time) (dropped int, err error)
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	Batch(ctx context.Context, ref completion.Ref) (completion.Batch, error)
}

// Log closes the logs of what has ended.
type Log interface {
	Seal(ctx context.Context, job completion.Job) error
	SealBatch(ctx context.Context, b completion.Batch) error
}

// Parts are what a Pruner is made of. Store is required.
type Parts struct {
	Store    Store
	Log      Log                             // nil: what has ended within EventAge stays
	EventAge time.Duration                   // how long events are kept, see backend.Settings; 0: 24 h
	Pruned   func(kind store.Kind, rows int) // is told of each chunk, by one goroutine at a time; nil: nobody is
	Logger   *slog.Logger                    // nil: slog.Default()
}

// Pruner is one process' pruner; New makes it.
type Pruner struct {
	Parts
	cfg     Config
	lease   store.Lease
	chunk   int  // rows of the next one
	failing bool // the latest sweep failed
}

// leaseTTL is far above what a chunk and the pause after it take.
const leaseTTL = 2 * time.Minute

// New returns a Pruner.
func New(p Parts, c Config) *Pruner {
	if p.EventAge == 0 {
		p.EventAge = 24 * time.Hour
	}
	if p.Pruned == nil {
		p.Pruned = func(store.Kind, int) {}
	}
	if p.Logger == nil {
		p.Logger = slog.Default()
	}
	p.Logger = p.Logger.With("part", "pruner")
	return &Pruner{Parts: p, cfg: c, lease: store.Lease{Name: "prune", Holder: rand.Text(), TTL: leaseTTL}, chunk: firstChunk}
}

// Run prunes now and then until ctx ends, and then returns nil. Outages are waited for and logged, once when they begin and
// once when they end.
func (p *Pruner) Run(ctx context.Context) error {
	every := p.cfg.every()
	for ctx.Err() == nil {
		_, err := p.Sweep(ctx, false)
		p.note(ctx, err)
		select {
		case <-ctx.Done():
		case <-time.After(every*3/4 + randv2.N(every/2)):
		}
	}
	return nil
}

// note learns how a sweep ended.
func (p *Pruner) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrBusy):
		return
	case err != nil && !p.failing:
		p.Logger.Warn("what is old is not pruned yet", "error", err)
	case err == nil && p.failing:
		p.Logger.Info("what is old is pruned again")
	}
	p.failing = err != nil
}

// ErrBusy means that another process prunes, or that none has to by now.
var ErrBusy = errors.New("another process prunes")

// Sweep prunes all that is old, and returns how many rows of each kind went, also with an error. early: although it is not
// due. ErrBusy: nothing was done.
func (p *Pruner) Sweep(ctx context.Context, early bool) (pruned map[store.Kind]int, err error) {
	taken, err := p.Store.TakeLease(ctx, p.lease, time.Now(), early)
	if err != nil {
		return nil, err
	}
	if !taken {
		return nil, ErrBusy
	}
	w := &sweep{Pruner: p, began: time.Now(), pruned: map[store.Kind]int{}}
	err = w.all(ctx)
	if errors.Is(err, completion.ErrStale) { // it stood still for so long that another goes on
		return w.pruned, ErrBusy
	}
	next := time.Now()
	if err == nil {
		next = next.Add(p.cfg.every() / 2)
	}
	err = errors.Join(err, p.leave(ctx, next))
	w.tell()
	return w.pruned, err
}

// leaveLimit is for letting others go on when ctx has ended.
const leaveLimit = 2 * time.Second

func (p *Pruner) leave(ctx context.Context, next time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	return p.Store.LeaveLease(ctx, p.lease, next)
}

// Count returns how many rows of each kind a Sweep would prune now.
func (p *Pruner) Count(ctx context.Context) (map[store.Kind]int, error) {
	counts := map[store.Kind]int{}
	now := time.Now()
	for _, r := range p.cfg.ages() {
		if r.age <= 0 {
			continue
		}
		kinds := []store.Kind{r.kind}
		if r.kind == store.KindBatches {
			kinds = append(kinds, store.KindLines)
		}
		for _, kind := range kinds {
			n, err := p.Store.CountOld(ctx, kind, p.before(kind, r.age, now), now)
			if err != nil {
				return nil, err
			}
			counts[kind] = n
		}
	}
	return counts, nil
}

// before is when something must have ended that is to go. Without a log nothing goes whose end may still have to be told.
func (p *Pruner) before(kind store.Kind, age time.Duration, now time.Time) time.Time {
	if p.Log == nil && logged(kind) {
		age = max(age, p.EventAge)
	}
	return now.Add(-age)
}

// logged reports whether things of a kind have logs of which viewers may still read.
func logged(kind store.Kind) bool {
	return kind == store.KindJobs || kind == store.KindStored || kind == store.KindBatches || kind == store.KindLines || kind == store.KindMessages
}
