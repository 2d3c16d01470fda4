package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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
	{"programs", programFacts},
	{"separate", separate},
	{"submit", submits},
	{"jobs", jobs},
	{"deltas", deltas},
	{"streams", streams},
	{"fan-out", fanOut},
	{"late", late},
	{"workers", workers},
	{"stored", stored},
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

// site is where benches run: a folder that is removed afterwards, with the built programs, and somebody who watches.
type site struct {
	Settings
	dir      string
	bin      string // folder of the programs
	progress io.Writer
	shared   *cluster // nil until it is needed
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
	defer func() {
		if s.shared != nil {
			s.shared.close()
		}
	}()
	s.note("build the programs")
	if err := s.build(ctx, programs...); err != nil {
		return nil, err
	}
	r := &Report{At: time.Now().UTC().Truncate(time.Second), Settings: c, Machine: machine(ctx, s)}
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

// programs are all that are run, but for the system's own.
var programs = []string{
	"sluice/api/cmd/api", "sluice/worker/cmd/worker", "sluice/migrations/cmd/migrate", "sluice/deployments/cmd/sluice",
	"sluice/deployments/bench/ceiling", "sluice/deployments/bench/bare", "sluice/deployments/bench/plain", "github.com/nats-io/nats-server/v2",
}

// build compiles programs as they are released: without C, and without paths and tables for debuggers.
func (s *site) build(ctx context.Context, packages ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", s.bin + string(filepath.Separator)}, packages...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), s.progress, s.progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s (the benchmark runs inside the checkout): %w", strings.Join(packages, ", "), err)
	}
	return nil
}
