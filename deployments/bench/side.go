package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// side is one of the ways that are compared.
type side struct {
	name string
	pace
	sample func(ctx context.Context) (time.Duration, error) // takes one sample; called by many at once
	beside occupation                                       // what else goes on during a round; nil: nothing
}

// occupation begins something, and returns once it is under way with what ends it.
type occupation func(ctx context.Context) (end func(ctx context.Context) error, err error)

// pace is the load of one round.
type pace struct {
	requests int
	rate     float64 // per second
}

// sampleLimit ends a sample that hangs, and with it the run.
const sampleLimit = 30 * time.Second

// warmUp is how many requests each side gets before the rounds: connections are made, caches filled.
const warmUp = 10

// alternate lets the sides take turns, in another order in each round, and returns what each took.
func alternate(ctx context.Context, s *site, sides []side) (map[string]series, error) {
	all := map[string]series{}
	for _, d := range sides {
		if _, err := d.occupied(ctx, pace{min(warmUp, d.requests), d.rate}); err != nil {
			return nil, err
		}
	}
	for n := range s.Rounds {
		for i := range sides {
			d := sides[(i+n)%len(sides)]
			samples, err := d.occupied(ctx, d.pace)
			if err != nil {
				return nil, err
			}
			all[d.name] = append(all[d.name], samples)
			s.note("round %d of %d: %s p50 %.2f ms", n+1, s.Rounds, d.name, milliseconds(percentile(samples, 0.5)))
		}
	}
	return all, nil
}

// occupied is round while what is beside it goes on.
func (d side) occupied(ctx context.Context, p pace) (samples []time.Duration, err error) {
	if d.beside == nil {
		return d.round(ctx, p)
	}
	end, err := d.beside(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin what is beside %s: %w", d.name, err)
	}
	samples, err = d.round(ctx, p)
	return samples, errors.Join(err, end(ctx))
}

// round takes samples at random times (a Poisson process), without waiting for one before the next begins. The first
// error ends it.
func (d side) round(ctx context.Context, p pace) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	samples := make([]time.Duration, p.requests)
	var running sync.WaitGroup
	for i := range samples {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rand.ExpFloat64() / p.rate * float64(time.Second))):
			running.Go(func() {
				limited, stop := context.WithTimeoutCause(ctx, sampleLimit, fmt.Errorf("no answer within %s", sampleLimit))
				defer stop()
				var err error
				if samples[i], err = d.sample(limited); err != nil {
					cancel(fmt.Errorf("%s: %w", d.name, err))
				}
			})
		}
	}
	running.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return samples, nil
}
