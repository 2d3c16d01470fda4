package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sluice/deployments/internal/chromium"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// tab is one tab of a browser's profile that no other test has.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string // of the page

	mu       sync.Mutex
	faults   []string // what the browser complains of
	tolerant bool     // requests may fail: it is what the test does
}

// newTab opens a tab in a fresh profile, not yet on the page. What the browser complains of fails the test at its end.
func newTab(t *testing.T, url string) *tab {
	t.Helper()
	return openTab(t, browser, url, chromedp.WithNewBrowserContext())
}

// another is a second tab of the same profile.
func (p *tab) another() *tab {
	p.t.Helper()
	return openTab(p.t, p.ctx, p.url)
}

func openTab(t *testing.T, parent context.Context, url string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	limited, stop := context.WithTimeout(ctx, 2*patience)
	p := &tab{t: t, ctx: limited, url: url}
	t.Cleanup(func() {
		if t.Failed() {
			p.show()
		}
		stop()
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.faults) > 0 {
			t.Errorf("the browser complains:\n%s", strings.Join(p.faults, "\n"))
		}
	})
	require.NoError(t, chromedp.Do(limited, chromedp.Navigate("about:blank")))
	require.NoError(t, chromedp.Listen(limited, p.hear))
	_, err := chromedp.Call(limited, cdplog.Enable, cdp.Empty{})
	require.NoError(t, err)
	return p
}

// tolerate says that requests may fail from now on.
func (p *tab) tolerate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tolerant = true
}

// hear collects errors: uncaught ones, those that the page logs, and those of the browser, such as what the page's
// content security policy forbids.
func (p *tab) hear(event any) {
	fault := ""
	failed := false // a request
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "uncaught: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			text, _ := json.Marshal(e.Args)
			fault = fmt.Sprintf("console.%s: %s", e.Type, text)
		}
	case *cdplog.EventEntryAdded:
		failed = e.Entry.Source == cdplog.EntrySourceNetwork
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning && !failed { // it warns of each WebSocket that is no longer wanted when it is open
			fault = fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	}
	if fault == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !failed || !p.tolerant {
		p.faults = append(p.faults, fault)
	}
}

// show logs what a person would see now.
func (p *tab) show() {
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.title + " " + location.hash + "\n" + document.body.innerText`))
	p.t.Logf("the page shows (%v):\n%s", err, text)
}

// visit goes to a place of the page, as #/batches, and signs in with the key; empty: as it is.
func (p *tab) visit(key, place string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.url + "/healthz")) // of the same origin, and not the page
	if key != "" {
		see[bool](p, `(localStorage.setItem("sluice.key", `+quote(key)+`), true)`)
	}
	p.do(chromedp.Navigate(p.url + "/" + place))
}

// see evaluates an expression in the tab.
func see[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err, expression)
	return v
}

// until waits for an expression to become true, on whichever page the tab comes to be.
func (p *tab) until(expression string) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, patience)
	defer stop()
	require.NoError(p.t, chromium.Until(ctx, expression))
}

// phone makes the tab as wide as a phone.
func (p *tab) phone() {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, chromedp.EmulateViewport(375, 740, chromedp.EmulateMobile, chromedp.EmulateTouch)))
}

// colours says which colours the system prefers: light or dark.
func (p *tab) colours(scheme string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	require.NoError(p.t, err)
	p.until(`document.getAnimations().every(({playState}) => playState !== "running")`) // colours that fade are neither
}

func quote(s string) string {
	text, _ := json.Marshal(s) // a string
	return string(text)
}

// click clicks what a selector finds, as soon as it can be seen and used. What is written meanwhile may move it.
func (p *tab) click(selector string) {
	p.t.Helper()
	one := `document.querySelector(` + quote(selector) + `)`
	p.until(one + `.checkVisibility() && !` + one + `.disabled`)
	see[bool](p, `(`+one+`.click(), true)`)
}

// press types what the keyboard has.
func (p *tab) press(keys string, options ...chromedp.KeyOption) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys, options...))
}

// enter presses the Enter key, whose letter goes where the page lets it.
func (p *tab) enter(modifiers chromedp.Modifier) {
	p.t.Helper()
	key := input.DispatchKeyEventParams{
		Modifiers: int64(modifiers), Key: "Enter", Code: "Enter", Text: "\r", UnmodifiedText: "\r", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13,
	}
	for _, key.Type = range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		_, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, key)
		require.NoError(p.t, err)
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, patience)
	defer stop()
	require.NoError(p.t, chromedp.Do(ctx, steps...))
}
