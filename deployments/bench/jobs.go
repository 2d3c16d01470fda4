package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// aimThroughput is the part of Asynq's own speed, with a handler that does nothing, that whole jobs shall have.
	aimThroughput = 0.4
	// aimCPU is how much more CPU time than the obvious alternative's a job may take.
	aimCPU = 1.5
)

// jobs measures how many jobs are run per second, from the request to the final event at a NATS subscriber, with an upstream
// that answers at once; beside Asynq with a handler that does nothing, and what it costs beside a plain HTTP handler.
func jobs(ctx context.Context, s *site, r *Report) error {
	const name = "jobs run, instant upstream"
	if s.lacking(r, name) {
		return nil
	}
	c, err := s.install(ctx, setup{})
	if err != nil {
		return err
	}
	defer c.leave()
	m, err := c.meter()
	if err != nil {
		return err
	}
	handler, err := c.startPlain(ctx, s)
	if err != nil {
		return err
	}
	s.note("run jobs, beside Asynq and a plain handler")
	var ours, asynqs, plains []float64
	var spent, theirs []map[string]time.Duration
	profiled := s.profiler(c, "jobs")
	err = s.turns(ctx, s.Rounds,
		func(ctx context.Context) error {
			var rate float64
			used, err := c.spent(func() error {
				return profiled(ctx, func() (err error) {
					rate, err = c.runJobs(ctx, m, s.Jobs)
					return err
				})
			})
			ours, spent = append(ours, rate), append(spent, used)
			return err
		},
		func(ctx context.Context) error {
			h, err := c.ceiling(ctx, s, 10*s.Jobs) // so many that its first sleep, of up to a second, says little
			asynqs = append(asynqs, h.rate)
			return err
		},
		func(ctx context.Context) error {
			rate, used, err := handler.run(ctx, s.Jobs)
			plains, theirs = append(plains, rate), append(theirs, used)
			return err
		})
	if err != nil {
		return err
	}
	n := repeat(float64(s.Jobs), len(spent))
	r.Rows = append(r.Rows,
		ratio(name+", beside Asynq with an empty handler", "per s", ours, asynqs).atLeast(aimThroughput),
		ratio("… beside a handler that streams and inserts by itself", "per s", ours, plains),
		ratio("… CPU time of a job, beside that handler's", "ms", total(spent, s.Jobs), total(theirs, s.Jobs)).below(aimCPU))
	r.Costs = append(r.Costs, cost("a job run", spent, n), cost("a request to the plain handler", theirs, n))
	return nil
}

// total is the CPU time of one of n in all processes but the simulated model and the load, in milliseconds, round by round.
func total(rounds []map[string]time.Duration, n int) []float64 {
	each := make([]float64, len(rounds))
	for i, took := range rounds {
		for name, d := range took {
			if name != "model" && name != "load" {
				each[i] += milliseconds(d) / float64(n)
			}
		}
	}
	return each
}

// runJobs submits n jobs as fast as they are accepted, and waits until the last has ended.
func (c *cluster) runJobs(ctx context.Context, m *meter, n int) (rate float64, err error) {
	ended, began := m.ends(), time.Now()
	if _, err := c.submitAll(ctx, n, modelName); err != nil {
		return 0, err
	}
	err = m.await(ctx, ended+n)
	return perSecond(n, began), errors.Join(err, m.whole())
}

// plainHandler is the obvious alternative, over the same database and upstream.
type plainHandler struct {
	*child
	c   *cluster
	url string
}

func (c *cluster) startPlain(ctx context.Context, s *site) (*plainHandler, error) {
	p, err := c.start(s, "plain", nil, c.model.url, c.address)
	if err != nil {
		return nil, err
	}
	at, err := p.Find(ctx, `plain at (\S+)`)
	if err != nil {
		return nil, err
	}
	return &plainHandler{child: p, c: c, url: at[1]}, nil
}

// run has n requests answered, and returns how many per second and what that cost.
func (h *plainHandler) run(ctx context.Context, n int) (rate float64, used map[string]time.Duration, err error) {
	before, err := usageOf(h.PID())
	if err != nil {
		return 0, nil, err
	}
	all, err := h.c.spent(func() error {
		began := time.Now()
		err := crowd(ctx, n, askers, func(ctx context.Context, _ int) error { return h.ask(ctx) })
		rate = perSecond(n, began)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	after, err := usageOf(h.PID())
	return rate, map[string]time.Duration{
		alone: after.cpu - before.cpu, "PostgreSQL": all["PostgreSQL"], "model": all["model"], "load": all["load"],
	}, err
}

func (h *plainHandler) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, strings.NewReader(request))
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	resp, err := h.c.model.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the plain handler: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && !strings.HasSuffix(string(answer), "data: [DONE]\n\n") {
		err = fmt.Errorf("it answered %s: %.100s", resp.Status, answer)
	}
	if err != nil {
		return fmt.Errorf("ask the plain handler: %w", err)
	}
	return nil
}
