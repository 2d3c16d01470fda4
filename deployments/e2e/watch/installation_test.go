package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/client"
)

// patience ends what hangs. Nothing is measured by it.
const patience = 2 * time.Minute

// process is a program that runs until the test ends.
type process struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// run starts a program, and waits until it has said what pattern matches.
func run(t *testing.T, pattern string, env []string, program string, args ...string) []string {
	t.Helper()
	p := &process{}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(environment(), env...), p, p
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is told to end
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("%s", p.said())
		}
	})
	sign := regexp.MustCompile(pattern)
	for limit := time.After(patience); ; {
		if m := sign.FindStringSubmatch(p.said()); m != nil {
			return m
		}
		select {
		case <-ended:
			t.Fatalf("%s has ended: %s", program, p.said())
		case <-limit:
			t.Fatalf("%s does not say %q", program, pattern)
		case <-time.After(10 * time.Millisecond): // there is nothing that tells
		}
	}
}

// environment is the tests' own, without what would configure a child.
func environment() (env []string) {
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLUICE_") && !strings.HasPrefix(pair, "OPENAI_") && !strings.HasPrefix(pair, "OTEL_") {
			env = append(env, pair)
		}
	}
	return env
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
	i.monitor = freeAddr(t)
	run(t, "Server is ready to receive web requests", nil, monitor, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "series"), "--web.listen-address="+i.monitor)
}

// freeAddr is a loopback address that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
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
