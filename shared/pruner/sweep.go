package pruner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// How much is done in one go: so much that a chunk takes between a quarter of an instant and a whole one.
const (
	firstChunk = 200
	minChunk   = 20
	maxChunk   = 1000
	instant    = 100 * time.Millisecond
	minPause   = 20 * time.Millisecond
	rest       = 4                // times as long as a chunk takes is the pause after it
	sealLimit  = 10 * time.Second // for the logs of one chunk
)

// sweep is one look at all kinds.
type sweep struct {
	*Pruner
	began  time.Time
	pruned map[store.Kind]int
}

// all prunes each kind. What goes wrong with one keeps none of the others.
func (w *sweep) all(ctx context.Context) error {
	var failed error
	for _, r := range w.cfg.ages() {
		var err error
		if r.age > 0 {
			err = w.kind(ctx, r)
		}
		if r.kind == store.KindBatches { // also of those that somebody else left in the middle
			err = errors.Join(err, w.chunks(ctx, store.KindLines, func(limit int) (int, bool, error) { return w.drop(ctx, rule{kind: store.KindLines}, limit) }))
		}
		if errors.Is(err, completion.ErrStale) || ctx.Err() != nil {
			return err
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// kind prunes all that is old of one kind.
func (w *sweep) kind(ctx context.Context, r rule) error {
	return w.chunks(ctx, r.kind, func(limit int) (dropped int, more bool, err error) {
		now := time.Now()
		switch r.kind {
		case store.KindQuotaDays:
			dropped, err = w.Store.DropQuotaDays(ctx, w.lease, now.Add(-r.age), now, limit)
			return dropped, dropped == limit, err
		case store.KindWorkers:
			dropped, err = w.Store.DropWorkers(ctx, w.lease, now.Add(-r.age), now)
			return dropped, false, err
		default:
			return w.drop(ctx, r, limit)
		}
	})
}

// drop prunes up to limit of a kind, and reports whether there may be more.
func (w *sweep) drop(ctx context.Context, r rule, limit int) (dropped int, more bool, err error) {
	now := time.Now()
	old, err := w.Store.Old(ctx, r.kind, w.before(r.kind, r.age, now), now, limit)
	if err != nil || len(old) == 0 {
		return 0, false, err
	}
	ids, failed := w.told(ctx, r.kind, old)
	if dropped, err = w.Store.Drop(ctx, w.lease, r.kind, ids, time.Now()); err != nil {
		return 0, false, err
	}
	return dropped, failed == nil && dropped > 0 && (len(old) == limit || r.kind == store.KindLines), failed
}

// chunks calls do, with pauses, until there is no more.
func (w *sweep) chunks(ctx context.Context, kind store.Kind, do func(limit int) (dropped int, more bool, err error)) error {
	for {
		began := time.Now()
		n, more, err := do(w.chunk)
		if n > 0 {
			w.pruned[kind] += n
			w.Pruned(kind, n)
		}
		if err != nil || !more {
			return err
		}
		if err := w.breathe(ctx, time.Since(began)); err != nil {
			return err
		}
	}
}

// breathe leaves the database to others, the longer the more the chunk before has asked of it.
func (w *sweep) breathe(ctx context.Context, took time.Duration) error {
	switch {
	case took > instant:
		w.chunk = max(w.chunk/2, minChunk)
	case took < instant/4:
		w.chunk = min(w.chunk*2, maxChunk)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(max(minPause, min(rest*took, leaseTTL/4))):
		return nil
	}
}

// told returns the ids of those whose end has been told by now, if they have one: the logs of those that ended of late are
// sealed. It comes as far as it can within sealLimit.
func (w *sweep) told(ctx context.Context, kind store.Kind, old []store.Old) (ids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sealLimit)
	defer cancel()
	for _, o := range old {
		if time.Since(o.EndedAt) <= w.EventAge {
			if w.Log == nil {
				continue
			}
			if err := w.seal(ctx, kind, o.Ref); err != nil {
				return ids, fmt.Errorf("tell the end of %s: %w", o.Job, err)
			}
		}
		ids = append(ids, o.Job)
	}
	return ids, nil
}

func (w *sweep) seal(ctx context.Context, kind store.Kind, ref completion.Ref) error {
	var err error
	if kind == store.KindBatches {
		var b completion.Batch
		if b, err = w.Store.Batch(ctx, ref); err == nil {
			err = w.Log.SealBatch(ctx, b)
		}
	} else {
		var job completion.Job
		if job, err = w.Store.Get(ctx, ref); err == nil {
			err = w.Log.Seal(ctx, job)
		}
	}
	if errors.Is(err, completion.ErrNotFound) { // its owner was faster
		return nil
	}
	return err
}

// tell logs what was pruned, if anything was.
func (w *sweep) tell() {
	if len(w.pruned) == 0 {
		return
	}
	attrs := make([]any, 0, 2*len(w.pruned)+2)
	for _, r := range w.cfg.ages() {
		for _, kind := range []store.Kind{r.kind, store.KindLines} {
			if n := w.pruned[kind]; n > 0 && (kind == r.kind || r.kind == store.KindBatches) {
				attrs = append(attrs, string(kind), n)
			}
		}
	}
	w.Logger.Info("what was old is pruned", append(attrs, "seconds", time.Since(w.began).Seconds())...)
}
