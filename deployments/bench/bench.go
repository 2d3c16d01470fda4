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

	"sluice/shared/completion"
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
	{"batch", batch},
	{"upload", upload},
	{"beside", beside},
}

func names() string {
	var all []string
	for _, b := range benches {
		all = append(all, b.name)
	}
	return strings.Join(all, ",")
}

// Settings say how long and how hard to measure. Their defaults take about five minutes.
type Settings struct {
	Only     []string      `json:"only,omitempty" placeholder:"NAME" enum:"${benches}" help:"Measure only these: ${enum}."`
	Rounds   int           `json:"rounds" default:"5" help:"Rounds in which the sides of a comparison take turns."`
	Requests int           `json:"requests" default:"140" help:"Requests of each side in each round."`
	Rate     float64       `json:"rate_per_s" default:"50" help:"Requests per second, at random times."`
	Idle     time.Duration `json:"idle_ns" default:"20s" help:"How long an idle worker is watched."`
	Settle   time.Duration `json:"settle_ns" default:"2s" help:"How long what was started, or did something else before, is left alone before it is measured."`
	Lines    int           `json:"lines" default:"50000" help:"Lines of a batch."`
	Batches  int           `json:"batches" default:"3" help:"Rounds in which a batch and Asynq alone take turns."`
	Upload   int           `json:"upload_mb" default:"200" help:"Size of the large file, in MB; at most 209."`
	Postgres string        `json:"-" env:"SLUICE_TEST_POSTGRES" placeholder:"FILE" help:"PostgreSQL's server program, for what needs one; make bench sets it."`
}

// Validate is kong's; it reports all faults at once.
func (s Settings) Validate() error {
	var err error
	if s.Rounds < 1 || s.Requests < 1 {
		err = fmt.Errorf("rounds %d, requests %d: want at least 1", s.Rounds, s.Requests)
	}
	if s.Rate <= 0 {
		err = errors.Join(err, fmt.Errorf("rate %g: want more than 0", s.Rate))
	}
	if s.Idle <= 0 || s.Settle < 0 {
		err = errors.Join(err, fmt.Errorf("idle %s, settle %s: want more than 0, and not less", s.Idle, s.Settle))
	}
	if s.Lines < 1 || s.Batches < 1 {
		err = errors.Join(err, fmt.Errorf("lines %d, batches %d: want at least 1", s.Lines, s.Batches))
	}
	if s.Upload < 1 || s.Upload*megabyte > completion.MaxBatchFileBytes {
		err = errors.Join(err, fmt.Errorf("upload %d: want 1 to %d", s.Upload, completion.MaxBatchFileBytes/megabyte))
	}
	return err
}

// site is where benches run: a folder that is removed afterwards, with the built programs, and somebody who watches.
type site struct {
	Settings
	dir      string
	bin      string // folder of the programs
	progress io.Writer
}

// program is the path of a built one.
func (s *site) program(name string) string { return filepath.Join(s.bin, name) }

// note tells who watches what is going on.
func (s *site) note(format string, args ...any) { fmt.Fprintf(s.progress, format+"\n", args...) }

// measure builds the product and runs the benches.
func measure(ctx context.Context, c Settings, progress io.Writer) (_ *Report, err error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to work in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &site{Settings: c, dir: dir, bin: filepath.Join(dir, "bin"), progress: progress}
	s.note("build sluice")
	if err := s.build(ctx, "sluice/deployments/cmd/sluice"); err != nil {
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

// build compiles programs as a user does.
func (s *site) build(ctx context.Context, packages ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", s.bin + string(filepath.Separator)}, packages...)...)
	cmd.Stdout, cmd.Stderr = s.progress, s.progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s (the benchmark runs inside the checkout): %w", strings.Join(packages, ", "), err)
	}
	return nil
}
