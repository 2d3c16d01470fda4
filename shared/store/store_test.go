package store_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/store/storetest"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore_SQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.Store { return store.New(testkit.SQLite(t), store.Options{}) })
}

func TestStore_PostgreSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.Store { return store.New(testkit.Postgres(t), store.Options{}) })
}

// TestStore_NewerSchema is the contract on a database that a newer release has migrated: it has added a column to every table.
func TestStore_NewerSchema(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.Store {
		db := testkit.SQLite(t)
		var tables []string
		require.NoError(t, db.NewSelect().Table("sqlite_master").Column("name").Where("type = 'table'").Where("name NOT LIKE 'sqlite%'").Scan(t.Context(), &tables))
		require.Contains(t, tables, "job")
		for _, table := range tables {
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE ? ADD COLUMN newer TEXT DEFAULT 'x'", bun.Ident(table)); err != nil {
				require.ErrorContains(t, err, "virtual", table)
			}
		}
		return store.New(db, store.Options{})
	})
}

func TestStore_DatabaseAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	db, err := store.OpenPostgres("postgres://u@" + addr + "/x?sslmode=disable")
	require.NoError(t, err)
	defer db.Close()
	s := store.New(db, store.Options{})
	_, err = s.Get(t.Context(), completion.Ref{Tenant: "t", Job: "j"})
	requireAway(t, err)
	_, _, err = s.Add(t.Context(), &completion.Job{ID: "j"})
	requireAway(t, err)
	requireAway(t, s.Ping(t.Context()))
}

// A database that accepts and never answers must not hold a caller for ever.
func TestStore_DatabaseHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	db, err := store.OpenPostgres("postgres://u@" + l.Addr().String() + "/x?sslmode=disable")
	require.NoError(t, err)
	defer db.Close()
	s := store.New(db, store.Options{Limit: 50 * time.Millisecond})
	requireAway(t, s.Ping(t.Context()))
}

// A database that is too slow for a transaction is one that cannot be reached, whichever way it is noticed.
func TestConverse_TooSlow(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t)
	made := completion.Conversation{ID: "conv_1", Tenant: "t", CreatedAt: time.Now()}
	_, _, err := store.New(db, store.Options{}).AddConversation(t.Context(), &made, nil)
	require.NoError(t, err)
	s, late := store.New(db, store.Options{Limit: 5 * time.Millisecond}), 0
	for range 50 { // its end, the rollback and the commit race each other
		_, err = s.Converse(t.Context(), made.Ref(), time.Now(), func(ctx context.Context, _ *store.Talk) error {
			<-ctx.Done()
			return nil
		})
		if err != nil {
			requireAway(t, err)
			late++
		}
	}
	require.Positive(t, late)
}

func TestStore_CallerGone(t *testing.T) {
	t.Parallel()
	s := store.New(testkit.SQLite(t), store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, completion.Ref{Tenant: "t", Job: "j"})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpenPostgres_BadAddress(t *testing.T) {
	t.Parallel()
	_, err := store.OpenPostgres("postgres://%zz")
	require.Error(t, err)
}

func requireAway(t *testing.T, err error) {
	t.Helper()
	var e *completion.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, completion.CodeUnavailable, e.Code)
}
