package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write golden files anew")

// The page of all settings is what sluice config prints.
func TestReference(t *testing.T) {
	t.Parallel()
	got, err := reference()
	require.NoError(t, err)
	path := filepath.Join("..", "..", "docs", "config.md")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run make generate")
	for _, name := range []string{"SLUICE_HTTP_ADDR", "SLUICE_NATS_ADDR", "SLUICE_WEBSOCKET_ADDR", "SLUICE_DATABASE_URL", "OPENAI_BASE_URL"} {
		require.Contains(t, got, "`"+name+"`")
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "| `--") {
			require.NotContains(t, line, "|  |", "every setting is explained: %s", line)
		}
	}
}
