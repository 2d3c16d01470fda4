package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/shared/completion"
)

const (
	// aimShare is the part of Asynq's own speed that a batch shall have.
	aimShare = 0.5
	// aimMemory is how much an api and a worker may need, in MB.
	aimMemory = 150
)

// briefModel answers with a few tokens at once.
func briefModel(int) string { return modelName + "?tokens=4" }

// haul is what a batch, or as many tasks of Asynq alone, took.
type haul struct {
	rate   float64                  // per second
	redis  float64                  // MB that Redis held at most, beyond what it held before
	valid  float64                  // seconds until the file was validated
	cpu    map[string]time.Duration // of the whole batch, by process
	upload float64                  // seconds
}

// batch measures how fast the lines of a batch are run, beside Asynq alone in the same run on the same Redis.
func batch(ctx context.Context, s *site, r *Report) error {
	if s.lacking(r, "lines of a batch, from its creation to its completion") {
		return nil
	}
	c, err := s.install(ctx, setup{})
	if err != nil {
		return err
	}
	defer c.leave()
	sides := []func(context.Context, *site) (haul, error){c.haul, func(ctx context.Context, s *site) (haul, error) {
		return c.ceiling(ctx, s, s.Lines)
	}}
	took := make([][]haul, len(sides))
	for n := range s.Batches {
		for i := range sides {
			side := (i + n) % len(sides)
			h, err := sides[side](ctx, s)
			if err != nil {
				return err
			}
			took[side] = append(took[side], h)
			s.note("round %d of %d: %s %.0f per second", n+1, s.Batches, []string{"batch", "Asynq alone"}[side], h.rate)
		}
	}
	used, err := c.uses()
	if err != nil {
		return err
	}
	r.Rows = append(r.Rows, batchRows(took[0], took[1], used)...)
	var spent []map[string]time.Duration
	for _, h := range took[0] {
		spent = append(spent, h.cpu)
	}
	r.Costs = append(r.Costs, cost("a line of a batch", spent, repeat(float64(s.Lines), len(spent))))
	return nil
}

func batchRows(batches, alone []haul, used map[string]usage) []Row {
	each := func(hauls []haul, f func(haul) float64) (values []float64) {
		for _, h := range hauls {
			values = append(values, f(h))
		}
		return values
	}
	rate, redis := func(h haul) float64 { return h.rate }, func(h haul) float64 { return h.redis }
	return []Row{
		ratio("lines of a batch, from its creation to its completion", "per s", each(batches, rate), each(alone, rate)).atLeast(aimShare),
		plain("… upload of its file", "s", each(batches, func(h haul) float64 { return h.upload })...),
		plain("… validation", "s", each(batches, func(h haul) float64 { return h.valid })...),
		plain("… peak memory of the api", "MB", float64(used["api"].peak)/megabyte).below(aimMemory),
		plain("… peak memory of the worker", "MB", float64(used["worker"].peak)/megabyte).below(aimMemory),
		ratio("… Redis memory beyond an idle one's", "MB", each(batches, redis), each(alone, redis)),
	}
}

// haul runs one batch.
func (c *cluster) haul(ctx context.Context, s *site) (h haul, err error) {
	file, took, err := c.upload(ctx, input{name: "lines", model: briefModel, lines: s.Lines})
	if err != nil {
		return h, err
	}
	h.upload = took.Seconds()
	if err := rest(ctx, s.Settle); err != nil {
		return h, err
	}
	h.cpu, err = c.spent(func() error { return c.runBatch(ctx, s, file, &h) })
	return h, err
}

// runBatch runs a batch of an uploaded file to its end.
func (c *cluster) runBatch(ctx context.Context, s *site, file string, h *haul) error {
	began := time.Now()
	b, err := c.create(ctx, file)
	if err != nil {
		return err
	}
	h.redis, err = c.watchRedis(ctx, func() (bool, error) {
		b, err = c.api.Batch(ctx, b.ID)
		if h.valid == 0 && validated(b) {
			h.valid = time.Since(began).Seconds()
		}
		return b.State.Final(), err
	})
	if err != nil {
		return err
	}
	h.rate = float64(s.Lines) / time.Since(began).Seconds()
	if want := (completion.Counts{Total: s.Lines, Completed: s.Lines}); b.State != completion.BatchCompleted || b.Counts != want {
		return fmt.Errorf("the batch is %s with %+v: %v", b.State, b.Counts, b.Errors.Data)
	}
	return nil
}

// watchRedis polls done until it is true, and returns how much memory Redis held at most meanwhile, beyond what it held
// before, in MB.
func (c *cluster) watchRedis(ctx context.Context, done func() (bool, error)) (float64, error) {
	ctx, stop := limited(ctx)
	defer stop()
	before, err := c.redisMemory(ctx)
	if err != nil {
		return 0, err
	}
	for most := before; ; {
		if err := rest(ctx, pollPause); err != nil {
			return 0, err
		}
		ended, err := done()
		now, failed := c.redisMemory(ctx)
		if err := errors.Join(err, failed); err != nil {
			return 0, err
		}
		most = max(most, now)
		if ended {
			return float64(most-before) / megabyte, nil
		}
	}
}
