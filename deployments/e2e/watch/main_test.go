// Package watch_test holds the alerts and the dashboard against a real Prometheus: that they are well formed, that each alert
// fires where it should and has its runbook, and that each panel has something to show of an installation under load.
package watch_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"sluice/deployments/internal/chromium"
	"sluice/deployments/internal/process"
)

var (
	update = flag.Bool("update", false, "watch for some minutes and take the picture of the docs anew")

	browser  context.Context
	sluice   string // the built program
	promtool string
	monitor  string // Prometheus' program
)

// deployments is the folder of the module.
const deployments = "../.."

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite builds the program and starts the browser before its tests.
type suite struct{ *testing.M }

func (s suite) Run() int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "sluice-watch-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := errors.Join(find(), build(dir), open(ctx)); err != nil {
		return fail(err)
	}
	defer chromedp.Cancel(browser)
	return s.M.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "prepare tests of what is watched:", err)
	return 1
}

func find() (err error) {
	var missing error
	if promtool, err = exec.LookPath("promtool"); err != nil {
		missing = err
	}
	if monitor, err = exec.LookPath("prometheus"); err != nil {
		missing = err
	}
	if missing != nil {
		return fmt.Errorf("these tests need the package prometheus, which make test installs: %w", missing)
	}
	return nil
}

func build(dir string) error {
	sluice = filepath.Join(dir, "sluice")
	return process.Build(dir, "sluice/deployments/cmd/sluice")
}

// open starts the browser, which ends with ctx.
func open(ctx context.Context) (err error) {
	browser, err = chromium.Open(ctx)
	return err
}
