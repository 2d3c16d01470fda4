package embedded_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

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
	require.Empty(t, n.InternalURL())
	require.Empty(t, n.WebSocketURL())
	nc := testkit.Conn(t, n)
	require.NoError(t, nc.Flush())
}

func TestNATS_KeepsStreamsOverRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2 {
		n, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir})
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

func TestNATS_InternalUserNeedsItsPassword(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t, embedded.NATSConfig{Addr: "127.0.0.1:0", Dir: t.TempDir()})
	_, err := nats.Connect(n.InternalURL())
	require.ErrorIs(t, err, nats.ErrAuthorization, "a random password opens the in-process pipe only")
	_, err = nats.Connect(n.ClientURL(), nats.UserInfo("internal", "guess"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	shared := testkit.NATS(t)
	nc, err := nats.Connect(shared.InternalURL())
	require.NoError(t, err)
	nc.Close()
}

// Whoever connects without credentials may listen to completions and ask for replays, over TCP and WebSocket alike.
func TestNATS_I8_ViewerMayDoNothingElse(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	inside := testkit.Conn(t, n)
	for name, url := range map[string]string{"TCP": n.ClientURL(), "WebSocket": n.WebSocketURL()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusals := make(chan error, 1)
			nc, err := nats.Connect(url, nats.NoReconnect(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
			require.NoError(t, err)
			defer nc.Close()
			for _, subject := range []string{">", "*", "*.>", "in.>", "in.1.a.b", "$JS.>", "$JS.API.>", "$SYS.>", "_INBOX.>", "_INBOX.x", "replay.>", "replay.a.b", "wake.batch", "cancel.>", "completions", "rp"} {
				_, err := nc.SubscribeSync(subject)
				require.NoError(t, err)
				requireRefused(t, refusals, "subscribe to "+subject)
			}
			_, err = nc.QueueSubscribeSync("replay.*.*", "replay")
			require.NoError(t, err)
			requireRefused(t, refusals, "subscribe to the queue of those who answer")
			for _, subject := range []string{"in.1.a.b", "completions.a.b", "rp.a.b.c.1", "$JS.API.INFO", "$JS.API.STREAM.DELETE.C1", "$JS.API.DIRECT.GET.C1", "$SYS.REQ.SERVER.PING", "_INBOX.x", "wake.batch", "cancel.a.b"} {
				require.NoError(t, nc.Publish(subject, []byte(`{}`)))
				requireRefused(t, refusals, "publish to "+subject)
			}
			for _, subject := range []string{"completions.a.b", "completions.a." + name, "rp.a.b.>"} {
				sub, err := nc.SubscribeSync(subject)
				require.NoError(t, err)
				require.NoError(t, nc.Flush())
				require.NoError(t, inside.Publish(strings.Replace(subject, ">", "x.1", 1), []byte("hello")))
				m, err := sub.NextMsgWithContext(t.Context())
				require.NoError(t, err)
				require.Equal(t, "hello", string(m.Data))
			}
			asked, err := inside.SubscribeSync("replay.a." + strings.ToLower(name))
			require.NoError(t, err)
			require.NoError(t, inside.Flush())
			require.NoError(t, nc.PublishRequest("replay.a."+strings.ToLower(name), "rp.a.b.x.1", nil))
			_, err = asked.NextMsgWithContext(t.Context())
			require.NoError(t, err)
			require.Empty(t, refusals)
		})
	}
}

func requireRefused(t *testing.T, refusals <-chan error, what string) {
	t.Helper()
	select {
	case err := <-refusals:
		require.ErrorIs(t, err, nats.ErrPermissionViolation, what)
	case <-time.After(30 * time.Second):
		require.Fail(t, "not refused", what)
	}
}

func TestNATS_AllowedOrigins(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t, embedded.NATSConfig{WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir(), AllowedOrigins: []string{"https://good.example"}, Log: slog.New(slog.DiscardHandler)})
	for origin, ok := range map[string]bool{"https://good.example": true, "https://evil.example": false} {
		nc, err := nats.Connect(n.WebSocketURL(), nats.WebSocketConnectionHeaders(map[string][]string{"Origin": {origin}}))
		if ok {
			require.NoError(t, err)
			nc.Close()
			continue
		}
		require.Error(t, err)
		require.NotErrorIs(t, err, nats.ErrAuthorization)
	}
}
