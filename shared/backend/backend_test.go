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

	"sluice/migrations"
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

// TestBackend_Schema has a database that lacks the latest migration, and then one that a newer release has migrated.
func TestBackend_Schema(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	db := testkit.Postgres(t)
	back, _ := testkit.BackendOn(t, db)
	require.NoError(t, back.AwaitSchema(t.Context(), log))

	_, err := db.ExecContext(t.Context(), "INSERT INTO bun_migrations (name, group_id, migrated_at) VALUES ('29990101000000', 99, now())")
	require.NoError(t, err)
	require.NoError(t, back.AwaitSchema(t.Context(), log), "a newer release only adds")
	require.NoError(t, back.Ready(t.Context()))

	_, err = db.ExecContext(t.Context(), "DELETE FROM bun_migrations WHERE name = '20261121000010'")
	require.NoError(t, err)
	requireAway(t, back.Ready(t.Context()), "migrate up")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = back.AwaitSchema(ctx, log)
	require.ErrorIs(t, err, migrations.ErrBehind)
	require.ErrorContains(t, err, "run migrate up: 20261121000010_quotas")
}

// TestBackend_NATSURL: viewers are told of all servers, and of no password.
func TestBackend_NATSURL(t *testing.T) {
	t.Parallel()
	n := testkit.StartNATS(t, embedded.NATSConfig{Addr: "127.0.0.1:0", Dir: t.TempDir()})
	creds := filepath.Join(t.TempDir(), "api.creds")
	require.NoError(t, os.WriteFile(creds, n.Authority().Users[credential.API], 0o600))
	back, err := backend.Open(t.Context(), backend.Config{
		DatabaseURL: testkit.PostgresURL(t), RedisURL: "redis://127.0.0.1:1", NATS: backend.NATS{URL: n.ClientURL() + ", nats://me:secret@127.0.0.1:1", Creds: creds},
		Settings: backend.Settings{WorkerTTL: time.Minute, EventAge: time.Hour, EventBytes: 1 << 20, EventReplicas: 1},
	}, "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, back.Close()) }()
	require.Equal(t, n.ClientURL()+",nats://127.0.0.1:1", back.NATSURL())
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
