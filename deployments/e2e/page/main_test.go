// Package page_test looks at the page that the API serves: that it is built from its sources, and that it does what people
// expect of it. It uses it as they do: a real browser, and sluice up as a process of its own, which may die. What
// is looked at is what a person sees, and at the end of each test that the browser has found nothing to complain of.
package page_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"sluice/deployments/internal/chromium"
	"sluice/deployments/internal/npm"
	"sluice/deployments/internal/process"
)

var (
	// browser is one Chromium for all tests; each has a profile of its own.
	browser context.Context
	// model is what all installations ask.
	model *upstream
	// sluice is the built program.
	sluice string
	// axe is the script that looks for what shuts people out.
	axe string
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite builds the program and starts the browser before its tests.
type suite struct{ *testing.M }

// sideBySide is how many tests run at once: they wait for answers more than they compute.
const sideBySide = "6"

func (s suite) Run() int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "sluice-page-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	model = openUpstream()
	defer model.close()
	if err := errors.Join(flag.Set("test.parallel", sideBySide), build(dir), readAxe(ctx), open(ctx)); err != nil {
		return fail(err)
	}
	defer chromedp.Cancel(browser)
	defer http.DefaultClient.CloseIdleConnections()
	defer common.stop()
	return s.M.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "prepare tests of the page:", err)
	return 1
}

func build(dir string) error {
	sluice = filepath.Join(dir, "sluice")
	return process.Build(dir, "sluice/deployments/cmd/sluice")
}

func readAxe(ctx context.Context) error {
	modules, err := npm.Install(ctx, ".")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(modules, "axe-core", "axe.min.js"))
	axe = string(text)
	return err
}

// open starts the browser, which ends with ctx.
func open(ctx context.Context) (err error) {
	browser, err = chromium.Open(ctx)
	return err
}
