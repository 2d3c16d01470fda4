package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	// aimScale is the part of a lone worker's throughput that each of several shall have.
	aimScale = 0.9
	// pacedAnswer takes a slot for about half a second and hardly any processor.
	pacedAnswer  = "sim?first=100ms&tps=50&tokens=20"
	answerLength = 480 * time.Millisecond
)

// workers measures how throughput grows with the number of workers while the upstream's pace is the limit.
func workers(ctx context.Context, s *site, r *Report) error {
	const name = "jobs per second of each worker, paced upstream"
	if s.lacking(r, name) {
		return nil
	}
	c, err := s.install(ctx, setup{none: true})
	if err != nil {
		return err
	}
	defer c.leave()
	m, err := c.meter()
	if err != nil {
		return err
	}
	s.note("1, 2 and 4 workers")
	counts := []int{1, 2, 4}
	rates := make([][]float64, len(counts))
	var sides []func(context.Context) error
	for i, n := range counts {
		sides = append(sides, func(ctx context.Context) error {
			rate, err := c.drain(ctx, s, m, n)
			rates[i] = append(rates[i], rate/float64(n))
			return err
		})
	}
	if err := s.turns(ctx, s.Rounds, sides...); err != nil {
		return err
	}
	r.Rows = append(r.Rows, plain(name+", one worker", "per s", rates[0]...))
	for i, n := range counts[1:] {
		r.Rows = append(r.Rows, ratio(fmt.Sprintf("… %d workers, beside one", n), "per s", rates[i+1], rates[0]).atLeast(aimScale))
	}
	return nil
}

// drain starts n workers on a queue that gives each slot several jobs, and returns how many jobs ended per second.
func (c *cluster) drain(ctx context.Context, s *site, m *meter, n int) (rate float64, err error) {
	ended, jobs := m.ends(), n*s.Slots*max(1, int(s.Window/answerLength))
	if _, err := c.submitAll(ctx, jobs, pacedAnswer); err != nil {
		return 0, err
	}
	defer c.dismiss()
	began := time.Now()
	for range n {
		if _, err := c.startWorker(ctx, s, "SLUICE_INTERACTIVE_SLOTS="+strconv.Itoa(s.Slots)); err != nil {
			return 0, err
		}
		if len(c.workers) == 1 {
			began = time.Now()
		}
	}
	if err := m.await(ctx, ended+jobs); err != nil {
		return 0, err
	}
	return perSecond(jobs, began), m.whole()
}

// dismiss stops all workers.
func (c *cluster) dismiss() {
	var ending sync.WaitGroup
	for _, w := range c.workers {
		ending.Go(func() { w.Stop() })
	}
	ending.Wait()
	c.workers = nil
}
