package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"sluice/shared/embedded"
)

// writerEnv makes the test program one that writes numbers into the database file that it names.
const writerEnv = "SLUICE_TEST_WRITER"

func init() {
	if path := os.Getenv(writerEnv); path != "" {
		panic(write(path))
	}
}

// write commits one number after the other, says each when it is committed, and never ends.
func write(path string) error {
	db, err := embedded.OpenSQLite(path)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		if _, err := db.ExecContext(context.Background(), "INSERT INTO said (n) VALUES (?)", n); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

func openSQLite(t *testing.T, path string) *bun.DB {
	t.Helper()
	db, err := embedded.OpenSQLite(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestSQLite_I1_ProcessIsKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c%.db")
	db := openSQLite(t, path)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE said (n INTEGER PRIMARY KEY)")
	require.NoError(t, err)
	require.FileExists(t, path)

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	var last string
	for range 100 {
		last, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
	require.NoError(t, cmd.Process.Kill())
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	for line := range strings.Lines(string(rest)) {
		if strings.HasSuffix(line, "\n") {
			last = line
		}
	}
	said, err := strconv.Atoi(strings.TrimSpace(last))
	require.NoError(t, err)

	var count, most int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*), max(n) FROM said").Scan(&count, &most))
	require.GreaterOrEqual(t, most, said, "what was committed is there")
	require.Equal(t, most, count)
	var verdict string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
}

func TestSQLite_ManyWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openSQLite(t, path)
	_, err := db.ExecContext(t.Context(), "CREATE TABLE counter AS SELECT 0 AS n")
	require.NoError(t, err)
	var wg sync.WaitGroup
	for _, db := range []*bun.DB{db, openSQLite(t, path)} { // doctor, say, may open the file beside the service
		for range 16 {
			wg.Go(func() {
				_, err := db.ExecContext(t.Context(), "UPDATE counter SET n = n + 1")
				if err != nil {
					t.Errorf("write: %v", err)
				}
			})
		}
	}
	wg.Wait()
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT n FROM counter").Scan(&n))
	require.Equal(t, 32, n)
}

func TestSQLite_NoFolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "test.db")
	_, err := embedded.OpenSQLite(path)
	require.ErrorContains(t, err, path)
}
