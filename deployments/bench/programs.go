package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// aimResting is how much memory an api and a worker may have that have nothing to do, in MB.
const aimResting = 30

// programFacts measures what a program is before it does anything: its size on disk, how long it takes from its start until
// it is ready, and what memory it then has.
func programFacts(ctx context.Context, s *site, r *Report) error {
	for _, name := range []string{"api", "worker", "migrate", "sluice"} {
		info, err := os.Stat(s.program(name))
		if err != nil {
			return fmt.Errorf("find a program: %w", err)
		}
		r.Rows = append(r.Rows, plain("size of the program "+name, "MB", float64(info.Size())/megabyte))
	}
	if s.lacking(r, "start of api until it is ready") {
		return nil
	}
	c, err := s.install(ctx, setup{none: true})
	if err != nil {
		return err
	}
	defer c.leave()
	s.note("start and stop api, worker and sluice up")
	took, memory, own := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	look := func(name string, start func() (*child, error)) func(context.Context) error {
		return func(ctx context.Context) error {
			began := time.Now()
			p, err := start()
			if err != nil {
				return err
			}
			defer p.Stop()
			took[name] = append(took[name], milliseconds(time.Since(began)))
			if err := rest(ctx, s.Settle); err != nil {
				return err
			}
			used, err := usageOf(p.PID())
			memory[name] = append(memory[name], float64(used.memory)/megabyte)
			own[name] = append(own[name], float64(used.memory-used.mapped)/megabyte)
			return err
		}
	}
	folder := 0
	err = s.turns(ctx, s.Rounds,
		look("api", func() (*child, error) { return c.bareAPI(ctx, s) }),
		look("worker", func() (*child, error) { return c.startWorker(ctx, s) }),
		look("sluice up", func() (*child, error) {
			folder++
			return c.up(ctx, s, filepath.Join(c.dir, fmt.Sprintf("up%d", folder)))
		}))
	if err != nil {
		return err
	}
	for _, name := range []string{"api", "worker", "sluice up"} {
		r.Rows = append(r.Rows, plain("start of "+name+" until it is ready", "ms", took[name]...))
	}
	for _, name := range []string{"api", "worker"} {
		r.Rows = append(r.Rows, plain("memory of an idle "+name, "MB", memory[name]...).below(aimResting), plain("… without the pages of its program file", "MB", own[name]...))
	}
	r.Rows = append(r.Rows, plain("memory of an idle sluice up", "MB", memory["sluice up"]...))
	return nil
}

// up starts an all-in-one in a new folder beside the installation.
func (c *cluster) up(ctx context.Context, s *site, folder string) (*child, error) {
	p, err := c.start(s, "sluice", allInOne(c.model.url, folder), "up")
	if err != nil {
		return nil, err
	}
	_, err = p.Find(ctx, `worker ready`)
	return p, err
}
