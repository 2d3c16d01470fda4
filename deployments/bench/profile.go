package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profiler returns what runs a part of a bench. If profiles are asked for, those of the api and the worker are written
// beside it the first time: CPU time for as long as a window, and then what was allocated so far.
func (s *site) profiler(c *cluster, bench string) func(ctx context.Context, part func() error) error {
	done := s.Profile == ""
	return func(ctx context.Context, part func() error) error {
		if done {
			return part()
		}
		done = true
		var running sync.WaitGroup
		programs := map[string]*child{"api": c.apiProcess, "worker": c.workers[0]}
		var mu sync.Mutex
		var failed error
		keep := func(name string, p *child, path string) {
			err := s.keepProfile(ctx, filepath.Join(s.Profile, bench+"-"+name+".pb.gz"), "http://"+p.private+path)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		}
		seconds := max(1, int(s.Window/time.Second))
		for name, p := range programs {
			running.Go(func() { keep(name+"-cpu", p, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds)) })
		}
		err := part()
		running.Wait()
		for name, p := range programs {
			keep(name+"-allocs", p, "/debug/pprof/allocs")
		}
		return errors.Join(err, failed)
	}
}

func (s *site) keepProfile(ctx context.Context, file, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s answered %s", url, resp.Status)
	}
	if err := os.MkdirAll(s.Profile, 0o755); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}
