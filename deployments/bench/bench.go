package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench is one thing that is measured.
type bench struct {
	name string
	run  func(ctx context.Context, s *site, r *Report) error
}

// benches are all, in the order in which they run.
var benches = []bench{
	{"first-delta", firstDelta},
	{"idle", idle},
	{"lines", lines},
}

func names() string {
	var all []string
	for _, b := range benches {
		all = append(all, b.name)
	}
	return strings.Join(all, ",")
}

// Settings say how long and how hard to measure. Their defaults take less than two minutes.
type Settings struct {
	Only     []string      `json:"only,omitempty" placeholder:"NAME" enum:"${benches}" help:"Measure only these: ${enum}."`
	Rounds   int           `json:"rounds" default:"5" help:"Rounds in which the sides of a comparison take turns."`
	Requests int           `json:"requests" default:"140" help:"Requests of each side in each round."`
	Rate     float64       `json:"rate_per_s" default:"50" help:"Requests per second, at random times."`
	Lines    int           `json:"lines" default:"5000" help:"Lines of the batch that a worker runs in each round."`
	Idle     time.Duration `json:"idle_ns" default:"20s" help:"How long an idle worker is watched."`
}

// Validate is kong's; it reports all faults at once.
func (s Settings) Validate() error {
	var err error
	if s.Rounds < 1 || s.Requests < 1 || s.Lines < 1 {
		err = fmt.Errorf("rounds %d, requests %d, lines %d: want at least 1", s.Rounds, s.Requests, s.Lines)
	}
	if s.Rate <= 0 {
		err = errors.Join(err, fmt.Errorf("rate %g: want more than 0", s.Rate))
	}
	if s.Idle <= 0 {
		err = errors.Join(err, fmt.Errorf("idle %s: want more than 0", s.Idle))
	}
	return err
}

// site is where benches run: the built program, a folder that is removed afterwards, and somebody who watches.
type site struct {
	Settings
	dir      string
	sluice   string // the program's path
	progress io.Writer
}

// note tells who watches what is going on.
func (s *site) note(format string, args ...any) { fmt.Fprintf(s.progress, format+"\n", args...) }

// measure builds the product and runs the benches.
func measure(ctx context.Context, c Settings, progress io.Writer) (_ *Report, err error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &site{Settings: c, dir: dir, sluice: filepath.Join(dir, "sluice"), progress: progress}
	s.note("build sluice")
	if err := build(ctx, s.sluice, progress); err != nil {
		return nil, err
	}
	r := &Report{At: time.Now().UTC().Truncate(time.Second), Settings: c, Machine: Machine{
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version(),
	}}
	for _, b := range benches {
		if len(c.Only) > 0 && !slices.Contains(c.Only, b.name) {
			continue
		}
		if err := b.run(ctx, s, r); err != nil {
			return nil, fmt.Errorf("measure %s: %w", b.name, err)
		}
	}
	return r, nil
}

// build compiles the program as a user does.
func build(ctx context.Context, into string, messages io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", into, "sluice/deployments/cmd/sluice")
	cmd.Stdout, cmd.Stderr = messages, messages
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build sluice (the benchmark runs inside the checkout): %w", err)
	}
	return nil
}
