// Package clients_test holds every client against one table of behaviours, deployments/clients/behaviour.json: the
// TypeScript client in Node.js and in a real browser, and the Go client.
package clients_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"
)

var (
	// browser is one Chromium for all tests; each has a tab of its own.
	browser context.Context
	// built is the folder of the built package, with the drivers and node_modules.
	built string
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite builds the package and starts the browser before its tests.
type suite struct{ *testing.M }

// sideBySide is how many tests run at once: they wait for processes more than they compute.
const sideBySide = "6"

func (s suite) Run() int {
	flag.Parse()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := errors.Join(flag.Set("test.parallel", sideBySide), build(ctx), open(ctx))
	defer os.RemoveAll(built)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer chromedp.Cancel(browser)
	defer http.DefaultClient.CloseIdleConnections()
	return s.M.Run()
}

// open starts the browser, which ends with ctx.
func open(ctx context.Context) error {
	path, err := find("chromium", "chromium-browser", "google-chrome")
	if err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(time.Minute))
	allocator, _ := chromedp.NewExecAllocator(ctx, options...)
	browser, _ = chromedp.NewContext(allocator)
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		return fmt.Errorf("start Chromium: %w", err)
	}
	return nil
}

// find returns the first of the programs that is installed.
func find(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("these tests need Chromium in PATH; make test installs it")
}
