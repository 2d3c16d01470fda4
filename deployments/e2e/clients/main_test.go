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
	"testing"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"

	"sluice/deployments/internal/chromium"
)

var (
	// browser is one Chromium for all tests; each has a tab of its own.
	browser context.Context
	// built is the folder of the built package, with the drivers and node_modules.
	built string
	// sluice is the built program.
	sluice string
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite builds the package and the program, and starts the browser before its tests.
type suite struct{ *testing.M }

// sideBySide is how many tests run at once: they wait for processes more than they compute.
const sideBySide = "6"

func (s suite) Run() int {
	flag.Parse()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := errors.Join(flag.Set("test.parallel", sideBySide), build(ctx), buildProduct(), open(ctx))
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
func open(ctx context.Context) (err error) {
	browser, err = chromium.Open(ctx)
	return err
}
