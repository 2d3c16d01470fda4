package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// aimStream is how much memory a worker may need for a slow stream, in kB.
const aimStream = 60

// streams measures what many slow streams at once cost a worker, and whether all come to their end.
func streams(ctx context.Context, s *site, r *Report) error {
	name := fmt.Sprintf("slow streams in one worker at once, of %d", s.Streams)
	why := s.lacks()
	if need := s.Streams + 500; why == "" && files() < need {
		why = fmt.Sprintf("needs %d open files for each process", need)
	}
	if why != "" {
		r.Rows = append(r.Rows, absent(name, why))
		return nil
	}
	c, err := s.install(ctx, setup{workers: []string{"SLUICE_INTERACTIVE_SLOTS=" + strconv.Itoa(s.Streams)}})
	if err != nil {
		return err
	}
	defer c.leave()
	m, err := c.meter()
	if err != nil {
		return err
	}
	if err := rest(ctx, s.Settle); err != nil {
		return err
	}
	model := slowly(s.Streams)
	s.note("%d slow streams at once in one worker, then in a bare reader", s.Streams)
	h, err := c.hold(ctx, m, s.Streams, model)
	if err != nil {
		return err
	}
	stored, err := c.completed(ctx)
	if err != nil {
		return err
	}
	var bare float64
	_, _, err = c.bare(ctx, s, model, s.Streams, func(p *child) error {
		used, err := usageOf(p.PID())
		bare = float64(used.memory) / 1000 / float64(s.Streams)
		return err
	})
	if err != nil {
		return err
	}
	memory := plain("… memory of each in the worker", "kB", h.memory).below(aimStream)
	memory.Baseline = new(bare)
	r.Rows = append(r.Rows,
		plain(name, "streams", float64(h.most)).atLeast(float64(s.Streams)),
		plain("… of which a viewer saw every event up to the completed one", "jobs", float64(m.completed)).atLeast(float64(s.Streams)),
		plain("… of which the answer is stored", "jobs", float64(stored)).atLeast(float64(s.Streams)),
		memory)
	r.Costs = append(r.Costs, cost(fmt.Sprintf("a slow stream, %d at once", s.Streams), []map[string]time.Duration{h.cpu}, []float64{float64(s.Streams)}))
	return nil
}

// slowly is a model that answers with a delta every two seconds, for long enough that so many streams are begun before
// the first one ends.
func slowly(streams int) string {
	return fmt.Sprintf("sim?first=1s&tps=0.5&tokens=%d", 2+streams/400)
}

// held is what many streams at once took.
type held struct {
	most   int     // at once
	memory float64 // kB of each, at most, in the worker
	cpu    map[string]time.Duration
}

// hold runs n jobs at once, and looks on until the last has ended.
func (c *cluster) hold(ctx context.Context, m *meter, n int, model string) (h held, err error) {
	worker := c.workers[0].PID()
	before, err := usageOf(worker)
	if err != nil {
		return h, err
	}
	h.cpu, err = c.spent(func() error {
		watching, stop := limited(ctx)
		defer stop()
		submitted := make(chan error, 1)
		go func() {
			_, err := c.submitAll(watching, n, model)
			submitted <- err
		}()
		for m.ends() < n {
			if err := rest(watching, pollPause); err != nil {
				return fmt.Errorf("wait for %d jobs, of which %d have ended: %w", n, m.ends(), err)
			}
			busy, err := c.generating(watching)
			if err != nil {
				return err
			}
			used, err := usageOf(worker)
			if err != nil {
				return err
			}
			h.most = max(h.most, busy)
			h.memory = max(h.memory, float64(used.memory-before.memory)/1000/float64(n))
		}
		return <-submitted
	})
	if err != nil {
		return h, err
	}
	return h, m.whole()
}

// completed is how many jobs the database has as completed.
func (c *cluster) completed(ctx context.Context) (n int, err error) {
	db, err := store.OpenPostgres(c.address)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM job WHERE state = '"+string(completion.Completed)+"'").Scan(&n); err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	return n, nil
}
