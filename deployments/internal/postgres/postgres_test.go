package postgres_test

import (
	"database/sql"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/postgres"
)

// TestServer_KeepsWhatItHad kills the server and starts it again.
func TestServer_KeepsWhatItHad(t *testing.T) {
	t.Parallel()
	path := os.Getenv("SLUICE_TEST_POSTGRES")
	require.NotEmpty(t, path, "run the tests through make test")
	s, err := postgres.New(t.Context(), path)
	require.NoError(t, err)
	db, err := sql.Open("pgx", s.URL())
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(s.PID(), 0))
	s.End(syscall.SIGKILL)
	require.Zero(t, s.PID())
	require.Error(t, db.PingContext(t.Context()))
	require.NoError(t, s.Start(t.Context()))
	var n int
	var encoding string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT n, current_setting('server_encoding') FROM kept").Scan(&n, &encoding))
	require.Equal(t, 7, n)
	require.Equal(t, "UTF8", encoding)
	require.NoError(t, s.Close())
	require.Error(t, db.PingContext(t.Context()))
}
