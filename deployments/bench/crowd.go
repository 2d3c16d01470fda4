package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sluice/shared/client"
)

// askers is how many ask at once where jobs come as fast as they are taken.
const askers = 32

// crowd calls f for 0 to n-1, by so many at once as they get to it. The first error ends it.
func crowd(ctx context.Context, n, at int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(at, n) {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// submitAll submits n jobs for a model, and returns their ids.
func (p *product) submitAll(ctx context.Context, n int, model string) ([]string, error) {
	ids, body := make([]string, n), chat(model)
	err := crowd(ctx, n, askers, func(ctx context.Context, i int) error {
		job, err := p.api.Submit(ctx, client.Submission{Request: body})
		ids[i] = job.ID
		return err
	})
	return ids, err
}

// cancelAll cancels jobs that go on for longer than they are looked at.
func (p *product) cancelAll(ctx context.Context, ids []string) error {
	return crowd(ctx, len(ids), askers, func(ctx context.Context, i int) error {
		_, err := p.api.Cancel(ctx, ids[i])
		return err
	})
}

// turns lets sides take turns in as many rounds, in another order in each.
func (s *site) turns(ctx context.Context, rounds int, sides ...func(ctx context.Context) error) error {
	for n := range rounds {
		for i := range sides {
			if err := sides[(i+n)%len(sides)](ctx); err != nil {
				return err
			}
		}
		s.note("round %d of %d", n+1, rounds)
	}
	return nil
}

// perSecond is how many of n there were in each second since began.
func perSecond(n int, began time.Time) float64 { return float64(n) / time.Since(began).Seconds() }
