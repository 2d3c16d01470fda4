package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/shared/client"
	"sluice/shared/eventlog"
)

// late measures how long a viewer needs to catch up that comes when a job has said much already and goes on.
func late(ctx context.Context, s *site, r *Report) error {
	name := fmt.Sprintf("viewer who comes after %d deltas, until caught up", s.Missed)
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
	s.note("catch up with %d deltas", s.Missed)
	const rate = 500 // deltas per second: each is an event of its own
	job, err := c.api.Submit(ctx, client.Submission{Request: chat(fmt.Sprintf("sim?first=0s&tps=%d&tokens=%d", rate, s.Missed+60*rate))})
	if err != nil {
		return err
	}
	for m.last(job.Subject) <= int64(s.Missed) {
		if err := rest(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	var took, events []float64
	for range s.Rounds {
		d, n, err := c.catchUp(ctx, m, job)
		if err != nil {
			return err
		}
		took, events = append(took, milliseconds(d)), append(events, n/d.Seconds())
	}
	r.Rows = append(r.Rows, plain(name, "ms", took...), plain("… events replayed", "per s", events...))
	return errors.Join(c.cancelAll(ctx, []string{job.ID}), m.await(ctx, 1))
}

// last is the seq of the last event that was seen of a job.
func (m *meter) last(subject string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.jobs[subject]
}

// catchUp is how long it takes to read all events of a job up to the last that was there at the beginning, and how many
// there are.
func (c *cluster) catchUp(ctx context.Context, m *meter, job client.Job) (took time.Duration, n float64, err error) {
	ctx, stop := limited(ctx)
	defer stop()
	want, began := m.last(job.Subject), time.Now()
	for e, err := range eventlog.View(ctx, c.nats, refOf(job), 0) {
		if err != nil {
			return 0, 0, err
		}
		if e.Seq >= want {
			return time.Since(began), float64(want), nil
		}
	}
	return 0, 0, errSilent
}
