package watch_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
)

// patience ends what hangs. Nothing is measured by it.
const patience = 2 * time.Minute

// run starts a program, and waits until it has said what pattern matches.
func run(t *testing.T, pattern string, env []string, program string, args ...string) []string {
	t.Helper()
	p, err := process.Start(program, env, args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s", &p.Out)
		}
	})
	match, err := p.Find(t.Context(), pattern)
	require.NoError(t, err)
	return match
}

// installation is an all-in-one, and a Prometheus that watches it.
type installation struct {
	api     *client.Client
	metrics string // address of the private port
	monitor string // address of Prometheus
}

func install(t *testing.T) *installation {
	t.Helper()
	dir := t.TempDir()
	m := run(t, `(?s)page +(http://\S+)/#key=(\S+).*private_addr=(\S+)`, []string{
		"SLUICE_DATA_DIR=" + filepath.Join(dir, "data"), "SLUICE_HTTP_ADDR=127.0.0.1:0", "SLUICE_NATS_ADDR=127.0.0.1:0", "SLUICE_WEBSOCKET_ADDR=127.0.0.1:0",
		"SLUICE_PRIVATE_ADDR=127.0.0.1:0", "SLUICE_WEBHOOK_PRIVATE=allow", "SLUICE_RETRY_BASE=200ms", "SLUICE_INTERACTIVE_SLOTS=16", "SLUICE_BATCH_SLOTS=8",
	}, sluice, "up")
	c, err := client.New(m[1], nil)
	require.NoError(t, err)
	i := &installation{api: c.WithKey(m[2]), metrics: m[3]}
	i.watch(t, dir)
	return i
}

// watch starts Prometheus with the alerts of the product. It asks once a second.
func (i *installation) watch(t *testing.T, dir string) {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(deployments, "prometheus", "alerts.yml"))
	require.NoError(t, err)
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs: [{job_name: sluice, static_configs: [{targets: [%q]}]}]\n", rules, i.metrics)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	i.monitor = process.FreeAddr()
	run(t, "Server is ready to receive web requests", nil, monitor, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "series"), "--web.listen-address="+i.monitor)
}

// receiver takes every other webhook.
func receiver(t *testing.T) string {
	t.Helper()
	var mu sync.Mutex
	n := 0
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(listener) // it is closed below
	}()
	t.Cleanup(func() {
		_ = s.Shutdown(context.WithoutCancel(t.Context())) // whoever is served still is told
		<-done
	})
	return "http://" + listener.Addr().String()
}
