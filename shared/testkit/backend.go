package testkit

import (
	"context"
	"log/slog"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/shared/backend"
	"sluice/shared/embedded"
)

// Backend returns a backend of the test's own over the embedded servers: SQLite, miniredis and nats-server.
func Backend(t testing.TB) (*backend.Backend, *embedded.NATS) {
	t.Helper()
	return BackendOn(t, SQLite(t))
}

// BackendOn is Backend over a database, which it closes.
func BackendOn(t testing.TB, db *bun.DB) (*backend.Backend, *embedded.NATS) {
	t.Helper()
	n := NATS(t)
	server, err := embedded.StartRedis()
	require.NoError(t, err)
	t.Cleanup(server.Close)
	nc, err := n.Connect()
	require.NoError(t, err)
	back, err := backend.New(backend.Servers{
		Database: db, NATS: nc, Redis: func(slots int) (redis.UniversalClient, error) { return server.Client(slots), nil },
	}, backend.Settings{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, back.Close()) })
	require.NoError(t, back.Log.Setup(context.Background()))
	return back, n
}
