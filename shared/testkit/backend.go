package testkit

import (
	"context"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/shared/backend"
	"sluice/shared/embedded"
	"sluice/shared/queue"
)

// Backend returns a backend of the test's own over the embedded servers: SQLite, miniredis and nats-server.
func Backend(t testing.TB) (*backend.Backend, *embedded.NATS) {
	t.Helper()
	return BackendOn(t, SQLite(t))
}

// RealBackend is Backend over a schema in the real PostgreSQL and a redis-server of the test's own.
func RealBackend(t testing.TB) (*backend.Backend, *embedded.NATS) {
	t.Helper()
	server := StartRedis(t)
	return open(t, Postgres(t), func(slots int) (redis.UniversalClient, error) { return queue.Open(server.URL(), max(slots, 16)) })
}

// BackendOn is Backend over a database, which it closes.
func BackendOn(t testing.TB, db *bun.DB) (*backend.Backend, *embedded.NATS) {
	t.Helper()
	return open(t, db, embeddedRedis(t))
}

// BackendOver is Backend over a connection to NATS, which it closes.
func BackendOver(t testing.TB, nc *nats.Conn) *backend.Backend {
	t.Helper()
	return over(t, SQLite(t), nc, embeddedRedis(t))
}

func embeddedRedis(t testing.TB) func(slots int) (redis.UniversalClient, error) {
	t.Helper()
	server, err := embedded.StartRedis()
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return func(slots int) (redis.UniversalClient, error) { return server.Client(slots), nil }
}

func open(t testing.TB, db *bun.DB, rc func(slots int) (redis.UniversalClient, error)) (*backend.Backend, *embedded.NATS) {
	t.Helper()
	n := NATS(t)
	nc, err := n.Connect()
	require.NoError(t, err)
	return over(t, db, nc, rc), n
}

func over(t testing.TB, db *bun.DB, nc *nats.Conn, rc func(slots int) (redis.UniversalClient, error)) *backend.Backend {
	t.Helper()
	back, err := backend.New(backend.Servers{Database: db, NATS: nc, Redis: rc}, backend.Settings{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, back.Close()) })
	require.NoError(t, back.Log.Setup(context.Background()))
	return back
}
