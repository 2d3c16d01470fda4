// Command release makes what a release consists of: for each system an archive with the programs, their licence and what
// runs them as services, a list of what is in them (CycloneDX), and checksums. The same sources give the same bytes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// release is the command line, and what is made by it.
type release struct {
	Version  string   `required:"" help:"Version that is stamped into the programs, such as v1.2.3."`
	Out      string   `default:"dist" help:"Folder for the archives; it is made, and what is in it is replaced."`
	Source   string   `default:"." help:"Top of the sources."`
	Systems  []string `default:"linux/amd64,linux/arm64,darwin/amd64,darwin/arm64" help:"Systems to build for, as GOOS/GOARCH."`
	Programs []string `default:"sluice/api/cmd/api,sluice/worker/cmd/worker,sluice/migrations/cmd/migrate,sluice/deployments/cmd/sluice" help:"Packages of the programs."`

	at time.Time // of everything in the archives
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &release{}
	kong.Parse(r, kong.Name("release"), kong.Description("Makes the archives of a release, with checksums and lists of what is in them."))
	if err := r.run(ctx); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// Validate is kong's.
func (r *release) Validate() error {
	if strings.ContainsAny(r.Version, "/\\ '\"") {
		return fmt.Errorf("version %q: it becomes part of names of files", r.Version)
	}
	for _, s := range r.Systems {
		if os, arch, ok := strings.Cut(s, "/"); !ok || os == "" || arch == "" {
			return fmt.Errorf("system %q: want GOOS/GOARCH", s)
		}
	}
	return nil
}

func (r *release) run(ctx context.Context) error {
	var err error
	if r.at, err = r.time(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	var made []string
	for _, system := range r.Systems {
		names, err := r.system(ctx, system)
		if err != nil {
			return fmt.Errorf("release for %s: %w", system, err)
		}
		made = append(made, names...)
	}
	return r.sum(made)
}

// time is that of the commit, or SOURCE_DATE_EPOCH, so that it is the same whenever the archives are made.
func (r *release) time(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		cmd := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct")
		cmd.Dir = r.Source
		out, err := cmd.Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("ask git for the time of the commit (set SOURCE_DATE_EPOCH without it): %w", err)
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("time of the sources: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
