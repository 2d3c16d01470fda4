package testkit

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/migrations"
	"sluice/shared/embedded"
	"sluice/shared/store"
)

// databaseVariable names the PostgreSQL server of the tests; make test starts one.
const databaseVariable = "SLUICE_TEST_DATABASE_URL"

// PostgresSchema returns the address of an empty schema of the test's own on the real PostgreSQL, which is dropped at the
// end of the test.
func PostgresSchema(t testing.TB) string {
	t.Helper()
	base := os.Getenv(databaseVariable)
	if base == "" {
		t.Fatalf("%s is not set: run the tests through make test, or start the servers with make servers", databaseVariable)
	}
	schema := "test_" + strings.ToLower(rand.Text())
	run := func(statement string) {
		db := openPostgres(t, base)
		defer db.Close()
		_, err := db.ExecContext(context.Background(), statement)
		require.NoError(t, err, statement)
	}
	run("CREATE SCHEMA " + schema)
	t.Cleanup(func() { run("DROP SCHEMA " + schema + " CASCADE") })
	u, err := url.Parse(base)
	require.NoError(t, err)
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// PostgresURL returns the address of a migrated database of the test's own on the real PostgreSQL, for other programs.
func PostgresURL(t testing.TB) string {
	t.Helper()
	address := PostgresSchema(t)
	db := openPostgres(t, address)
	defer db.Close()
	migrateUp(t, db)
	return address
}

// Postgres returns a migrated database of the test's own on the real PostgreSQL.
func Postgres(t testing.TB) *bun.DB {
	t.Helper()
	db := openPostgres(t, PostgresSchema(t))
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	migrateUp(t, db)
	return db
}

// SQLite returns a migrated database file of the test's own.
func SQLite(t testing.TB) *bun.DB {
	t.Helper()
	db, err := embedded.OpenSQLite(filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	migrateUp(t, db)
	return db
}

func openPostgres(t testing.TB, address string) *bun.DB {
	t.Helper()
	db, err := store.OpenPostgres(address)
	require.NoError(t, err)
	return db
}

func migrateUp(t testing.TB, db *bun.DB) {
	t.Helper()
	_, err := migrations.Up(context.Background(), db)
	require.NoError(t, err, "migrate %s", db.Dialect().Name())
}
