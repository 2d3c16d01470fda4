package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProgram_Find(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := program{name: "sluice-no-such-program", globs: []string{dir + "/none", dir + "/*/bin/x"}}
	require.Empty(t, p.find())
	for _, version := range []string{"9", "16", "15", "10"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, version, "bin", "x"), 0o700))
	}
	require.Equal(t, filepath.Join(dir, "16", "bin", "x"), p.find())
	require.NotEmpty(t, program{name: "go"}.find())
}

func TestByVersion_Order(t *testing.T) {
	t.Parallel()
	list := []string{"/v/10/x", "/v/9.6/x", "/v/9/x", "/v/16/x", "/v/9.10/x"}
	slices.SortFunc(list, byVersion)
	require.Equal(t, []string{"/v/9/x", "/v/9.6/x", "/v/9.10/x", "/v/10/x", "/v/16/x"}, list)
}

func TestProvide_NothingMissing(t *testing.T) {
	t.Parallel()
	require.NoError(t, provide(t.Context(), []program{{name: "go"}}))
}

func TestRun_ExitCode(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), []string{"sh", "-c", `test -n "$SLUICE_TEST_DATABASE_URL" && test -n "$SLUICE_TEST_S3_URL" && exit 7`})
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.ExitCode())
}
