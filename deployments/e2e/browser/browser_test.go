// Package browser_test looks at Sluice with a real browser: Chromium follows jobs over NATS WebSocket, and reads the API
// reference.
package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/standalone"
	"sluice/shared/client"
	"sluice/shared/completion"
)

// browser is one Chromium for all tests; each has tabs of its own.
var browser context.Context

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		fmt.Fprintln(os.Stderr, "these tests need Chromium in PATH; make test installs it")
		return 1
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WSURLReadTimeout(time.Minute))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, cancel := chromedp.NewContext(alloc)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		fmt.Fprintln(os.Stderr, "start Chromium:", err)
		return 1
	}
	browser = ctx
	return m.Run()
}

// tab opens a tab that is closed with the test.
func tab(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	limited, stop := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(func() { stop(); cancel() })
	return limited
}

// see evaluates an expression in the tab.
func see[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(t, err)
	return v
}

// until waits for an expression to become true. It does not wait for frames, which hidden tabs do not draw.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0)))
	require.NoError(t, err, expression)
}

func visit(t *testing.T, ctx context.Context, address string) {
	t.Helper()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
}

type bundle struct {
	server *standalone.Standalone
	api    *client.Client
	page   string // address of the reader's page, whose origin may connect
}

func setup(t *testing.T) *bundle {
	t.Helper()
	pages := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(pages.Close)
	var c standalone.Config
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse([]string{
		"--http-addr=127.0.0.1:0", "--nats-addr=127.0.0.1:0", "--websocket-addr=127.0.0.1:0", "--data-dir=" + t.TempDir(),
		"--drain-limit=100ms", "--websocket-origins=" + pages.URL,
	})
	require.NoError(t, err)
	s, err := standalone.New(t.Context(), c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	api, err := client.New(s.HTTPURL(), nil)
	require.NoError(t, err)
	return &bundle{server: s, api: api, page: pages.URL + "/reader.html"}
}

func (b *bundle) submit(t *testing.T, model string) client.Job {
	t.Helper()
	job, err := b.api.Submit(t.Context(), client.Submission{Request: json.RawMessage(`{"model":"` + model + `","messages":[{"role":"user","content":"hi 😀"}]}`)})
	require.NoError(t, err)
	return job
}

// reader is the address of the page for a job.
func (b *bundle) reader(page string, job client.Job) string {
	return page + "?" + url.Values{"url": {job.Stream.WebSocketURL}, "subject": {job.Subject}}.Encode()
}

// requireSame checks that the tab has shown what is stored, from gapless events.
func (b *bundle) requireSame(t *testing.T, ctx context.Context, job client.Job) {
	t.Helper()
	until(t, ctx, "window.done")
	text := see[string](t, ctx, `document.getElementById("text").textContent`)
	events := see[[]struct {
		Seq  int64
		Type completion.EventType
	}](t, ctx, "window.events.map(({seq, type}) => ({Seq: seq, Type: type}))")
	stored, err := b.api.Get(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, completion.Completed, stored.State)
	require.Equal(t, gjson.GetBytes(stored.Result, "choices.0.message.content").String(), text, "I4")
	for i, e := range events {
		require.EqualValues(t, i+1, e.Seq, "I3: every event once and in order")
	}
	require.Equal(t, completion.EventCompleted, events[len(events)-1].Type)
}

func TestReader_I3_Live(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=60&tps=60")
	visit(t, ctx, b.reader(b.page, job))
	b.requireSame(t, ctx, job)
}

func TestReader_I3_ReloadAndDroppedConnections(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=150&tps=50")
	visit(t, ctx, b.reader(b.page, job))
	until(t, ctx, "window.events.length > 20")
	require.NoError(t, chromedp.Do(ctx, chromedp.Reload()))
	for i := range 3 {
		until(t, ctx, fmt.Sprintf("window.opened > %d && window.events.length > %d", i, 30+10*i))
		see[chromedp.Void](t, ctx, "window.drop()")
	}
	b.requireSame(t, ctx, job)
}

func TestReader_I8_MayOnlyRead(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=20&tps=0&first=0ms")
	visit(t, ctx, b.reader(b.page, job))
	until(t, ctx, "window.opened > 0 && window.events.length > 0")
	targets := []string{"in.0.local." + job.ID, job.Subject, "$JS.API.STREAM.PURGE.C0", "$JS.API.STREAM.NAMES", "wake.interactive", "cancel.local." + job.ID}
	for _, target := range targets {
		see[chromedp.Void](t, ctx, fmt.Sprintf("window.publish(%q, '{}')", target))
	}
	until(t, ctx, fmt.Sprintf("window.refusals.length >= %d", len(targets)))
	refusals := see[[]string](t, ctx, "window.refusals")
	for i, target := range targets {
		require.Contains(t, strings.ToLower(refusals[i]), "permissions violation")
		require.Contains(t, refusals[i], target)
	}
}

// Any page may open a WebSocket to a server on the visitor's own machine; only the listed origins are let in.
func TestReader_I8_ForeignOrigin(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	job := b.submit(t, "sim?tokens=5&tps=0")
	foreign := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(foreign.Close)
	visit(t, ctx, b.reader(foreign.URL+"/reader.html", job))
	until(t, ctx, "window.failed > 2")
	require.Zero(t, see[int](t, ctx, "window.opened"))
}

func TestDocs(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), tab(t)
	var mu sync.Mutex
	var complaints, foreign []string
	requests := 0
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, string(e.Type))
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			requests++
			if !strings.HasPrefix(e.Request.URL, b.server.HTTPURL()) {
				foreign = append(foreign, e.Request.URL)
			}
		}
	}))
	visit(t, ctx, b.server.HTTPURL()+"/docs")
	require.Contains(t, see[string](t, ctx, "document.title"), "Sluice")
	require.Contains(t, see[string](t, ctx, "document.body.innerText"), "Submit a job")
	require.Equal(t, 7, see[int](t, ctx, `document.querySelectorAll("article").length`))

	mu.Lock()
	defer mu.Unlock()
	require.Positive(t, requests, "the page itself was seen")
	require.Empty(t, complaints)
	require.Empty(t, foreign, "the page needs no other host")
}
