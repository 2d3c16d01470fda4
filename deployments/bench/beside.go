package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"sluice/shared/client"
)

const (
	// aimBeside is how much later the first delta may come at the 99th percentile while a batch has all of its slots (I10), as
	// a multiple.
	aimBeside = 1.2
	// slowLines are enough for a round, and few enough to be cancelled at once.
	slowLines = 5000
	// manifold is by how much more requests than Settings says are sent for a good 99th percentile.
	manifold = 4
)

// slowModel takes three seconds for an answer, so that a worker's batch slots are full while its processor is not. It is not the
// same time for each line: otherwise those that began together would all end together, again and again, as answers never do.
func slowModel(line int) string {
	return fmt.Sprintf("sim?first=%dms&tps=10&tokens=20", 400+line*61%1200)
}

// beside measures whether a batch delays interactive jobs (I10): submit to first delta while a batch has all batch slots
// of the only worker, beside the same without a batch.
func beside(ctx context.Context, s *site, r *Report) error {
	const name = "submit to first delta while slow lines fill the batch slots"
	if s.lacking(r, name) {
		return nil
	}
	c, err := s.install(ctx, setup{})
	if err != nil {
		return err
	}
	defer c.leave()
	watched, err := watch(&c.product)
	if err != nil {
		return err
	}
	slow := input{name: "slow", model: slowModel, lines: min(s.Lines, slowLines)}
	instant := input{name: "instant", model: briefModel, lines: s.Lines}
	sides := []side{{name: "alone"}, {name: slow.name}, {name: instant.name}}
	for i, in := range []input{slow, instant} {
		file, _, err := c.upload(ctx, in)
		if err != nil {
			return err
		}
		sides[i+1].beside = c.occupy(file, in)
	}
	for i := range sides {
		sides[i].pace, sides[i].sample = pace{manifold * s.Requests, s.Rate}, watched.sample
	}
	s.note("submit to first delta beside a batch")
	all, err := alternate(ctx, s, sides)
	if err != nil {
		return err
	}
	row := func(name, side string, p float64) Row {
		return ratio(fmt.Sprintf("%s, p%g", name, 100*p), "ms", all[side].percentiles(p), all["alone"].percentiles(p))
	}
	r.Rows = append(r.Rows,
		row(name, slow.name, 0.5), row(name, slow.name, 0.99).below(aimBeside),
		row("… while instant lines take what the machine has", instant.name, 0.5), row("… while instant lines take what the machine has", instant.name, 0.99),
	)
	return nil
}

// occupy keeps the batch slots busy with the lines of a file, again from its start when it is done.
func (c *cluster) occupy(file string, in input) occupation {
	return func(ctx context.Context) (func(context.Context) error, error) {
		b, err := c.create(ctx, file)
		if err != nil {
			return nil, err
		}
		if err := c.busy(ctx, b.ID, in); err != nil {
			return nil, err
		}
		going, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		var failed error
		running.Go(func() { b.ID, failed = c.again(going, b.ID, file) })
		return func(ctx context.Context) error {
			stop()
			running.Wait()
			return errors.Join(failed, c.drop(ctx, b.ID))
		}, nil
	}
}

// busy waits until a batch has all slots that it can fill.
func (c *cluster) busy(ctx context.Context, id string, in input) error {
	return c.await(ctx, id, func(b client.Batch) bool {
		n, err := c.generating(ctx)
		return err == nil && n >= min(slots, in.lines) || b.Counts.Ended() >= min(slots, in.lines)
	})
}

// generating is how many answers the simulated model is giving.
func (c *cluster) generating(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.model.url, "/v1")+"/sim/stats", nil)
	if err != nil {
		return 0, fmt.Errorf("ask the simulated model: %w", err)
	}
	resp, err := c.model.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask the simulated model: %w", err)
	}
	defer resp.Body.Close()
	var stats struct {
		InFlight int `json:"in_flight"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		return 0, fmt.Errorf("ask the simulated model: %w", err)
	}
	return stats.InFlight, nil
}

// again makes another batch of the file whenever one ends, until ctx does, and returns the last one's id.
func (c *cluster) again(ctx context.Context, id, file string) (string, error) {
	for {
		err := c.await(ctx, id, ended)
		if ctx.Err() != nil {
			return id, nil //nolint:nilerr // it is told to stop
		}
		if err != nil {
			return id, err
		}
		next, err := c.create(context.WithoutCancel(ctx), file)
		if err != nil {
			return id, err
		}
		id = next.ID
	}
}

// drop cancels a batch and waits until nothing of it is left to do.
func (c *cluster) drop(ctx context.Context, id string) error {
	if _, err := c.api.CancelBatch(ctx, id); err != nil {
		if b, failed := c.api.Batch(ctx, id); failed != nil || !ended(b) {
			return errors.Join(err, failed)
		}
	}
	return c.await(ctx, id, ended)
}
