// Package browser_test looks at Sluice with a real browser: Chromium follows jobs over NATS WebSocket, and reads the API
// reference.
package browser_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/deployments/internal/chromium"
	"sluice/deployments/standalone"
	"sluice/shared/client"
)

// browser is one Chromium for all tests; each has tabs of its own.
var browser context.Context

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite starts the browser before its tests.
type suite struct{ *testing.M }

// sideBySide is how many tests run at once: they wait for the browser more than they compute.
const sideBySide = "8"

func (s suite) Run() int {
	flag.Parse()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	tab, err := chromium.Open(ctx)
	if err = errors.Join(err, flag.Set("test.parallel", sideBySide)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer chromedp.Cancel(tab)
	browser = tab
	defer http.DefaultClient.CloseIdleConnections()
	return s.M.Run()
}

// tab opens a tab that is closed with the test.
func tab(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	limited, stop := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(func() { stop(); cancel() })
	return limited
}

func visit(t *testing.T, ctx context.Context, address string) {
	t.Helper()
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(address)))
}

// see evaluates an expression in the tab.
func see[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(t, err, expression)
	return v
}

// until waits for an expression to become true.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	require.NoError(t, chromium.Until(ctx, expression))
}

type bundle struct {
	server *standalone.Standalone
	api    *client.Client
	pages  string // origin whose pages may connect
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pages: servePages(t)}
	var c standalone.Config
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse([]string{
		"--http-addr=127.0.0.1:0", "--nats-addr=127.0.0.1:0", "--websocket-addr=127.0.0.1:0", "--data-dir=" + t.TempDir(),
		"--drain-limit=100ms", "--retry-base=10ms", "--interactive-slots=1", "--websocket-origins=" + b.pages,
	})
	require.NoError(t, err)
	b.server, err = standalone.New(t.Context(), c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	api, err := client.New(b.server.HTTPURL(), nil)
	require.NoError(t, err)
	b.api = api.WithKey(b.server.Key())
	return b
}

// servePages serves the reader's page from an origin of its own.
func servePages(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(s.Close)
	return s.URL
}

func (b *bundle) submit(t *testing.T, model string) client.Job {
	t.Helper()
	job, err := b.api.Submit(t.Context(), client.Submission{Request: json.RawMessage(`{"model":"` + model + `","messages":[{"role":"user","content":"hi 😀"}]}`)})
	require.NoError(t, err)
	return job
}

// hold takes the worker's only slot until it is released, so that jobs wait.
func (b *bundle) hold(t *testing.T) (release func()) {
	t.Helper()
	job := b.submit(t, "sim?stall=0")
	for _, err := range b.api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
		break // it has started
	}
	return func() { b.cancel(t, job) }
}

func (b *bundle) cancel(t *testing.T, job client.Job) {
	t.Helper()
	_, err := b.api.Cancel(t.Context(), job.ID)
	require.NoError(t, err)
}

// reader is the address of the reader's page for a job.
func reader(origin string, job client.Job) string {
	place := url.Values{"url": {job.Stream.WebSocketURL}, "subject": {job.Subject}}
	return origin + "/reader.html?" + place.Encode() + "#" + job.Stream.Credential // what follows # stays in the browser
}
