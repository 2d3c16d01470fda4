package clients_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMerge_I3_Holes(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "node", "--test", filepath.Join(built, "merge.test.mjs")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "# fail 0")
}

// TestPackage_Contents looks at what would be published: the built files, their types, and nothing of the tests.
func TestPackage_Contents(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "npm", "pack", "--dry-run", "--json", "--ignore-scripts")
	cmd.Dir = built
	out, err := cmd.Output()
	require.NoError(t, err)
	for _, name := range []string{`"dist/index.js"`, `"dist/index.d.ts"`, `"README.md"`, `"LICENSE"`, `"package.json"`} {
		require.Contains(t, string(out), name)
	}
	for _, name := range []string{"src/", ".mjs", "page."} {
		require.NotContains(t, string(out), `"`+name)
	}
}
