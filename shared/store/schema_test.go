package store_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/migrations"
	"sluice/shared/embedded"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// schemas opens databases that have no schema yet.
var schemas = map[string]func(t *testing.T) *bun.DB{
	"PostgreSQL": func(t *testing.T) *bun.DB { return open(t, testkit.PostgresSchema(t)) },
	"SQLite": func(t *testing.T) *bun.DB {
		db, err := embedded.OpenSQLite(filepath.Join(t.TempDir(), "test.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	},
}

func open(t *testing.T, address string) *bun.DB {
	t.Helper()
	db, err := store.OpenPostgres(address)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func names(list []migrations.Migration, applied bool) []string {
	all := []string{}
	for _, m := range list {
		if !m.AppliedAt.IsZero() == applied {
			all = append(all, m.Name)
		}
	}
	return all
}

func TestSchema_UpAndDown(t *testing.T) {
	t.Parallel()
	for name, open := range schemas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			before, err := migrations.Status(t.Context(), db)
			require.NoError(t, err)
			require.Empty(t, names(before, true))
			all := names(before, false)
			require.NotEmpty(t, all)
			require.True(t, slices.IsSorted(all))

			for range 2 {
				applied, err := migrations.Up(t.Context(), db)
				require.NoError(t, err)
				require.Equal(t, all, applied)
				require.NoError(t, store.New(db, store.Options{}).Ping(t.Context()))
				status, err := migrations.Status(t.Context(), db)
				require.NoError(t, err)
				require.Equal(t, all, names(status, true))
				again, err := migrations.Up(t.Context(), db)
				require.NoError(t, err)
				require.Empty(t, again)

				taken, err := migrations.Down(t.Context(), db)
				require.NoError(t, err)
				require.ElementsMatch(t, all, taken)
				require.Error(t, store.New(db, store.Options{}).Ping(t.Context()))
			}
			taken, err := migrations.Down(t.Context(), db)
			require.NoError(t, err)
			require.Empty(t, taken)
		})
	}
}

func TestSchema_SameVersions(t *testing.T) {
	t.Parallel()
	var lists [][]string
	for _, open := range schemas {
		status, err := migrations.Status(t.Context(), open(t))
		require.NoError(t, err)
		lists = append(lists, names(status, false))
	}
	require.Equal(t, lists[0], lists[1])
}

// A process may die between a migration and its record: the migration runs again.
func TestSchema_NotRecorded(t *testing.T) {
	t.Parallel()
	for name, open := range schemas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			first, err := migrations.Up(t.Context(), db)
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), "DELETE FROM bun_migrations")
			require.NoError(t, err)
			again, err := migrations.Up(t.Context(), db)
			require.NoError(t, err)
			require.Equal(t, first, again)
		})
	}
}

func TestSchema_FailureIsNotRecorded(t *testing.T) {
	t.Parallel()
	for name, open := range schemas {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			_, err := db.ExecContext(t.Context(), "CREATE TABLE job (wrong INTEGER)")
			require.NoError(t, err)
			applied, err := migrations.Up(t.Context(), db)
			require.Error(t, err, "the table is another one")
			require.Empty(t, applied)
			status, err := migrations.Status(t.Context(), db)
			require.NoError(t, err)
			require.Empty(t, names(status, true))
			_, err = db.ExecContext(t.Context(), "DROP TABLE job")
			require.NoError(t, err)
			_, err = migrations.Up(t.Context(), db)
			require.NoError(t, err)
		})
	}
}

func TestSchema_ManyAtOnce(t *testing.T) {
	t.Parallel()
	address := testkit.PostgresSchema(t)
	applied := make([][]string, 8)
	var wg sync.WaitGroup
	for i := range applied {
		db := open(t, address)
		wg.Go(func() {
			var err error
			if applied[i], err = migrations.Up(t.Context(), db); err != nil {
				t.Errorf("up: %v", err)
			}
		})
	}
	wg.Wait()
	require.Len(t, slices.DeleteFunc(applied, func(names []string) bool { return len(names) == 0 }), 1, "one did it all")
}

// A process that dies while it migrates blocks nobody.
func TestSchema_HolderIsKilled(t *testing.T) {
	t.Parallel()
	const lockKey = 0x51_75_1c_e0 // package migrations'
	address := testkit.PostgresSchema(t)
	db := open(t, address)
	holder, err := open(t, address).Conn(t.Context())
	require.NoError(t, err)
	defer holder.Close()
	var pid int
	require.NoError(t, holder.QueryRowContext(t.Context(), "SELECT pg_backend_pid() FROM pg_advisory_lock(?)", lockKey).Scan(&pid))

	done := make(chan error, 1)
	go func() {
		_, err := migrations.Up(t.Context(), db)
		done <- err
	}()
	require.Eventually(t, func() bool {
		var waiting bool
		err := db.QueryRowContext(t.Context(), "SELECT count(*) > 0 FROM pg_locks WHERE objid = ? AND NOT granted", lockKey).Scan(&waiting)
		return err == nil && waiting
	}, time.Minute, 10*time.Millisecond)
	_, err = db.ExecContext(t.Context(), "SELECT pg_terminate_backend(?)", pid)
	require.NoError(t, err)
	require.NoError(t, <-done)
}

// A caller that gives up leaves no lock behind, in the server or in the pool.
func TestSchema_CallerGone(t *testing.T) {
	t.Parallel()
	db := open(t, testkit.PostgresSchema(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := migrations.Up(ctx, db)
	require.ErrorIs(t, err, context.Canceled)
	_, err = migrations.Up(t.Context(), db)
	require.NoError(t, err)
}

func TestMigrate_Program(t *testing.T) {
	t.Parallel()
	p := migrations.Program{DatabaseURL: testkit.PostgresSchema(t)}
	run := func(name string) string {
		var out bytes.Buffer
		require.NoError(t, p.Start(t.Context(), name, &out))
		return out.String()
	}
	require.Contains(t, run("status"), "_jobs  not applied\n")
	require.True(t, strings.HasPrefix(run("up"), "applied 2"))
	require.Equal(t, "nothing to do\n", run("up"))
	require.Contains(t, run("status"), "_jobs  applied 2")
	require.True(t, strings.HasPrefix(run("down"), "took back 2"))
	require.Equal(t, "nothing to do\n", run("down"))
}

func TestMigrate_Unreachable(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:secret@127.0.0.1:1/x?sslmode=disable": "PostgreSQL at 127.0.0.1:1 cannot be reached",
		"postgres://u:secret@%zz":                           "SLUICE_DATABASE_URL",
	} {
		p := migrations.Program{DatabaseURL: url}
		err := p.Start(t.Context(), "up", nil)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
}

// Who waits beside the migrating process goes on when it has ended.
func TestMigrate_Wait(t *testing.T) {
	t.Parallel()
	address := testkit.PostgresSchema(t)
	wait := migrations.Program{DatabaseURL: address, Wait: migrations.Waiting{Limit: time.Minute}}
	said, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- wait.Start(t.Context(), "wait", out)
		out.Close()
	}()
	lines := bufio.NewScanner(said)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "migrations are not applied, the first is 2")
	_, err := migrations.Up(t.Context(), open(t, address))
	require.NoError(t, err)
	require.True(t, lines.Scan())
	require.Equal(t, "all migrations are applied", lines.Text())
	require.False(t, lines.Scan())
	require.NoError(t, <-done)
}

func TestMigrate_WaitGivesUp(t *testing.T) {
	t.Parallel()
	p := migrations.Program{DatabaseURL: "postgres://u@127.0.0.1:1/none?sslmode=disable", Wait: migrations.Waiting{Limit: 10 * time.Millisecond}}
	require.ErrorContains(t, p.Start(t.Context(), "wait", io.Discard), "failed to connect")
}
