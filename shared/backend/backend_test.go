package backend_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/embedded"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpen_RealServers(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t, embedded.NATSConfig{Addr: "127.0.0.1:0", Dir: t.TempDir()})
	redis, creds := testkit.StartRedis(t), filepath.Join(t.TempDir(), "api.creds")
	require.NoError(t, os.WriteFile(creds, n.Authority().Users[credential.API], 0o600))
	c := backend.Config{
		DatabaseURL: testkit.PostgresURL(t), RedisURL: redis.URL(), NATS: backend.NATS{URL: n.ClientURL(), Creds: creds},
		Settings: backend.Settings{WorkerTTL: time.Minute, EventAge: time.Hour, EventBytes: 1 << 20, EventReplicas: 1},
	}
	back, err := backend.Open(t.Context(), c, "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, back.Close()) }()
	require.NoError(t, back.Ready(t.Context()))
	require.Equal(t, n.ClientURL(), back.NATSURL())

	redis.Kill(t)
	requireAway(t, back.Ready(t.Context()), "Redis")
	redis.Start(t)
	n.Close()
	require.Eventually(t, func() bool { return back.Ready(context.Background()) != nil }, time.Minute, 10*time.Millisecond)
	requireAway(t, back.Ready(t.Context()), "NATS")
}

func requireAway(t *testing.T, err error, server string) {
	t.Helper()
	var e *completion.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, completion.CodeUnavailable, e.Code)
	require.Contains(t, e.Message, server)
}

func TestOpen_ServerAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = backend.Open(ctx, backend.Config{DatabaseURL: "postgres://u@" + addr + "/x?sslmode=disable"}, "test", slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "PostgreSQL cannot be reached")
	_, err = backend.Open(ctx, backend.Config{DatabaseURL: "postgres://%zz"}, "test", slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "SLUICE_DATABASE_URL")
}

func TestEvents_Validate(t *testing.T) {
	t.Parallel()
	err := backend.Settings{EventReplicas: 2}.Validate()
	for _, want := range []string{"event age", "event bytes", "event replicas"} {
		require.ErrorContains(t, err, want, "all faults at once")
	}
}
