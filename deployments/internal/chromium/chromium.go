// Package chromium starts the browser of the tests that need a real one.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/chromedp/chromedp"
)

// names are those by which systems call it.
var names = []string{"chromium", "chromium-browser", "google-chrome"}

// Elsewhere is a name of this machine that the browser does not know for it: what comes from there over plain HTTP is not a
// secure context to it.
const Elsewhere = "elsewhere.test"

// Open starts a Chromium without a window, and returns a context of package chromedp for its first tab. It ends with ctx, or
// by chromedp.Cancel, which also waits for it.
func Open(ctx context.Context) (context.Context, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("host-resolver-rules", "MAP "+Elsewhere+" 127.0.0.1"))
	allocator, _ := chromedp.NewExecAllocator(ctx, options...)
	browser, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	return browser, nil
}

func find() (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("these tests need Chromium in PATH; make test installs it")
}

// Until waits until an expression is true on whichever page the tab comes to be; one that is just being left, or is not there
// yet, has nothing that is true. It fails when ctx ends.
func Until(ctx context.Context, expression string) error {
	tick := time.NewTicker(20 * time.Millisecond) // nothing tells when a page has changed
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(() => { try { return !!(`+expression+`); } catch { return false; } })()`))
		if err == nil && ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", expression, errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
}
