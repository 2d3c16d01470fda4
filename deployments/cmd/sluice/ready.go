package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// readyCmd is the probe of a container that has no other program to ask with.
type readyCmd struct {
	URL     string        `arg:"" optional:"" default:"http://127.0.0.1:9464/readyz" help:"What to ask: /readyz or /livez of a program, at its private address or its public one."`
	Timeout time.Duration `default:"5s" help:"Longest wait for the answer."`
}

// Run is kong's.
func (c *readyCmd) Run(ctx context.Context, t *terminal) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	status, body, err := fetch(ctx, c.URL, "")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s answers %d: %s", c.URL, status, gist(body))
	}
	fmt.Fprintln(t.out, "ready")
	return nil
}
