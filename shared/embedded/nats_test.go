package embedded_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/testkit"
)

func TestNATS_PortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	for option, cfg := range map[string]embedded.NATSConfig{
		"SLUICE_NATS_ADDR":      {Addr: l.Addr().String()},
		"SLUICE_WEBSOCKET_ADDR": {WebSocketAddr: l.Addr().String()},
	} {
		cfg.Dir = t.TempDir()
		_, err := embedded.StartNATS(cfg)
		require.ErrorContains(t, err, l.Addr().String())
		require.ErrorContains(t, err, "set "+option+" to another address")
	}
}

func TestNATS_BadConfig(t *testing.T) {
	t.Parallel()
	_, err := embedded.StartNATS(embedded.NATSConfig{})
	require.ErrorContains(t, err, "Dir")
	_, err = embedded.StartNATS(embedded.NATSConfig{Dir: t.TempDir(), Addr: "nonsense"})
	require.ErrorContains(t, err, "SLUICE_NATS_ADDR")
	_, err = embedded.StartNATS(embedded.NATSConfig{Dir: "/dev/null/x"})
	require.Error(t, err, "a folder that cannot be made")
}

func TestNATS_InProcessOnly(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t, embedded.NATSConfig{Dir: t.TempDir()})
	require.Empty(t, n.ClientURL())
	require.Empty(t, n.WebSocketURL())
	nc := testkit.Conn(t, n)
	require.NoError(t, nc.Flush())
}

func TestNATS_KeepsStreamsOverRestart(t *testing.T) {
	t.Parallel()
	dir, authority := t.TempDir(), testkit.Authority(t)
	for i := range 2 {
		n, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir, Authority: authority})
		require.NoError(t, err)
		nc, err := n.Connect()
		require.NoError(t, err)
		js, err := jetstream.New(nc)
		require.NoError(t, err)
		if i == 0 {
			_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
			require.NoError(t, err)
		}
		ack, err := js.Publish(t.Context(), "s", nil)
		require.NoError(t, err)
		require.Equal(t, uint64(i+1), ack.Sequence)
		nc.Close()
		n.Close()
		n.Close()
	}
}

func TestNATS_Run(t *testing.T) {
	t.Parallel()
	n, err := embedded.StartNATS(embedded.NATSConfig{Dir: t.TempDir()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	cancel()
	require.NoError(t, <-done)
	_, err = n.Connect(nats.NoReconnect())
	require.Error(t, err)
}

func TestNATS_QuietWhenAllIsWell(t *testing.T) {
	t.Parallel()
	var out lines
	cfg := embedded.NATSConfig{Addr: "127.0.0.1:0", WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&out, nil))}
	n, err := embedded.StartNATS(cfg)
	require.NoError(t, err)
	n.Close()
	require.Empty(t, out.text())
}

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestNATS_AllowedOrigins(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t, embedded.NATSConfig{WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir(), AllowedOrigins: []string{"https://good.example"}, Log: slog.New(slog.DiscardHandler)})
	for origin, ok := range map[string]bool{"https://good.example": true, "https://evil.example": false} {
		nc, err := nats.Connect(n.WebSocketURL(), testkit.Viewer(t, n, completion.Ref{Tenant: "acme"}),
			nats.WebSocketConnectionHeaders(map[string][]string{"Origin": {origin}}))
		if ok {
			require.NoError(t, err)
			nc.Close()
			continue
		}
		require.Error(t, err)
		require.NotErrorIs(t, err, nats.ErrAuthorization)
	}
}
