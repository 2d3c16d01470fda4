// Package talk_test has many clients talk in one conversation at once, over two API processes' worth of servers, a worker and
// the simulated model, on a real PostgreSQL and Redis, and checks what is left against what was accepted.
package talk_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/api"
	"sluice/shared/backend"
	"sluice/shared/modelsim"
	"sluice/shared/testkit"
	"sluice/worker"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

const (
	tenant = "local"
	path   = "/v1/conversations"
)

// bed is an installation whose API is there twice.
type bed struct {
	t    *testing.T
	back *backend.Backend
	urls []string
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t}
	b.back, _ = testkit.RealBackend(t)
	sim := modelsim.New(modelsim.Config{})
	upstream := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Close(); upstream.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	w, err := worker.New(worker.Config{
		InteractiveSlots: 16, BatchSlots: 4, InteractiveAttempts: 3, BatchAttempts: 3, RetryBase: time.Millisecond, RetryMax: 10 * time.Millisecond,
		GenerationLimit: time.Minute, PublishLimit: time.Minute, DrainLimit: time.Second,
		UpstreamName: "sim", UpstreamURL: upstream.URL + "/v1", UpstreamIdle: time.Minute, UpstreamHeader: time.Minute, UpstreamBytes: 1 << 20,
		ModelsInterval: time.Minute,
	}, b.back, log)
	require.NoError(t, err)
	b.run(w.Run)
	for range 2 {
		c := api.Config{
			HTTPAddr: "127.0.0.1:0", Auth: "off", Tenant: tenant, CredentialTTL: time.Minute, UnknownModels: api.PassUnknown,
			InteractiveTimeout: time.Hour, BatchTimeout: time.Hour, Heartbeat: time.Second, ClientLimit: 30 * time.Second, StopLimit: 30 * time.Second,
		}
		c.Files.Dir = t.TempDir()
		a, err := api.New(c, b.back, log)
		require.NoError(t, err)
		b.run(a.Run)
		b.urls = append(b.urls, a.URL())
	}
	return b
}

// run runs something until the test ends.
func (b *bed) run(f func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	b.t.Cleanup(sync.OnceFunc(func() {
		cancel()
		require.NoError(b.t, <-ended)
	}))
}

// do sends a request to one of the two, and returns the status and the answer.
func (b *bed) do(which int, method, path, body string, header ...string) (int, gjson.Result) {
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.urls[which%len(b.urls)]+path, strings.NewReader(body))
	if err != nil {
		return 0, gjson.Result{}
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, gjson.Parse(fmt.Sprintf("%q", err.Error()))
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // what is cut off is no JSON
	return resp.StatusCode, gjson.ParseBytes(text)
}
