package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/charmbracelet/x/term"

	"sluice/deployments/internal/top"
)

type topCmd struct {
	remote
	Every time.Duration `default:"1s" help:"Time between two looks, at least 200ms."`
	Once  bool          `help:"Print what there is now, and end; so it also is where there is no terminal."`
	JSON  bool          `name:"json" help:"As --once, as JSON."`
}

// Help is kong's.
func (c *topCmd) Help() string {
	return "Shows what waits, runs and fails, live. The key needs the scope system, which the all-in-one's own key has. " +
		"? shows the keys. NO_COLOR takes the colours away."
}

// Validate is kong's.
func (c *topCmd) Validate() error {
	if c.Every < top.MinEvery {
		return fmt.Errorf("--every: %s is too short; at least %s", c.Every, top.MinEvery)
	}
	return nil
}

// Run is kong's. Leaving is how a live view ends well, whatever the key.
func (c *topCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client(t)
	if err != nil {
		return err
	}
	out, live := t.screen()
	if live && !c.Once && !c.JSON {
		return top.Run(ctx, top.Config{Source: api, Name: c.API, Every: c.Every, Say: say}, t.in, out)
	}
	seen, err := top.Look(ctx, api)
	switch {
	case err != nil && ctx.Err() != nil:
		return &exitError{status: interrupted}
	case err != nil:
		return err
	case c.JSON:
		err = top.PrintJSON(t.out, seen)
	default:
		err = top.Print(t.out, c.API, seen)
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// screen is standard output, if a program can draw on it and be told keys.
func (t *terminal) screen() (*os.File, bool) {
	out, isFile := t.out.(*os.File)
	return out, isFile && !t.dumb && term.IsTerminal(out.Fd()) && term.IsTerminal(t.in.Fd())
}
