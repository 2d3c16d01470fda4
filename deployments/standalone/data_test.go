package standalone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/migrations"
)

// fill makes a data folder as this program leaves it, and changes its database.
func fill(t *testing.T, change ...string) string {
	t.Helper()
	dir := t.TempDir()
	db, err := openData(t.Context(), dir)
	require.NoError(t, err)
	for _, statement := range change {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	return dir
}

func TestOpenData_Older(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "migrations", "sqlite", "*.down.sql"))
	require.NoError(t, err)
	last := files[len(files)-1]
	down, err := os.ReadFile(last)
	require.NoError(t, err)
	version, _, _ := strings.Cut(filepath.Base(last), "_")
	dir := fill(t, string(down), "DELETE FROM bun_migrations WHERE name = '"+version+"'")
	db, err := openData(t.Context(), dir)
	require.NoError(t, err, "it is brought up to date")
	defer db.Close()
	list, err := migrations.Status(t.Context(), db)
	require.NoError(t, err)
	for _, m := range list {
		require.False(t, m.AppliedAt.IsZero(), m.Name)
	}
}

func TestOpenData_Newer(t *testing.T) {
	t.Parallel()
	dir := fill(t, "INSERT INTO bun_migrations (name, group_id, migrated_at) VALUES ('99990101000000', 99, '2026-01-01')")
	for range 2 { // the first refusal changes nothing
		_, err := openData(t.Context(), dir)
		require.ErrorContains(t, err, "written by a newer sluice (its schema has 99990101000000): start that version or a newer one, or set SLUICE_DATA_DIR")
	}
	_, err := CheckData(t.Context(), dir)
	require.ErrorContains(t, err, "written by a newer sluice")
}

func TestCheckData(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		dir   func(t *testing.T) string
		found string
		err   string
	}{
		"good":    {func(t *testing.T) string { return fill(t) }, "can be used", ""},
		"missing": {func(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }, "is not there; sluice up makes it", ""},
		"empty":   {func(t *testing.T) string { return t.TempDir() }, "is empty; sluice up fills it", ""},
		"file":    {func(t *testing.T) string { return file(t, filepath.Join(t.TempDir(), "x")) }, "", "is not a folder: remove what is there, or set SLUICE_DATA_DIR"},
		"garbage": {func(t *testing.T) string {
			dir := t.TempDir()
			file(t, filepath.Join(dir, database))
			return dir
		}, "", "sluice.db is damaged, or no database: put a backup in its place, or set SLUICE_DATA_DIR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := CheckData(t.Context(), row.dir(t))
			require.Contains(t, found, row.found)
			if row.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.err)
		})
	}
}

// file makes a file that is no database.
func file(t *testing.T, path string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600))
	return path
}

type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprint("code ", int(e)) }
func (e sqliteError) Code() int     { return int(e) }

func TestBlame(t *testing.T) {
	t.Parallel()
	for cause, want := range map[error]string{
		syscall.ENOSPC:                        "the disk with data folder D is full: free some space, or set SLUICE_DATA_DIR to use another folder: ",
		sqliteError(sqliteFull):               "the disk with data folder D is full: ",
		syscall.EACCES:                        "data folder D cannot be written: let this user write there, or set SLUICE_DATA_DIR to use another folder: ",
		syscall.EROFS:                         "data folder D cannot be written: ",
		sqliteError(sqliteCantOpen):           "data folder D cannot be written: ",
		sqliteError(sqliteReadOnly | 1<<8):    "data folder D cannot be written: ",
		&fs.PathError{Err: syscall.ENOTDIR}:   "data folder D is not a folder: ",
		sqliteError(sqliteCorrupt):            "D/sluice.db is damaged, or no database: ",
		errors.New("out of cheese"):           "data folder D: out of cheese",
		fmt.Errorf("open: %w", syscall.EPERM): "data folder D cannot be written: ",
	} {
		err := blame("D", cause)
		require.ErrorContains(t, err, want)
		require.ErrorIs(t, err, cause)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestConfig_Tilde(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, Config{DataDir: "~/sluice"}.Validate(), "SLUICE_DATA_DIR is ~/sluice, where ~ means nothing: write the whole path")
}
