package page_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/npm"
)

const (
	clients   = "../../clients"
	committed = "../../../api/internal/site/dist"
)

// checkout copies the page's sources to where they can be built, and returns their folder.
func checkout(t *testing.T) string {
	t.Helper()
	modules, err := npm.Install(t.Context(), filepath.Join(clients, "page"))
	require.NoError(t, err)
	dir := t.TempDir()
	page := filepath.Join(dir, "page")
	for _, part := range []string{"page/src", "js/src"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(clients, part))))
	}
	require.NoError(t, npm.Copy(filepath.Join(dir, "js"), filepath.Join(clients, "js/package.json"))) // which says what of it may be left out
	require.NoError(t, npm.Copy(page, filepath.Join(clients, "page/package.json"), filepath.Join(clients, "page/tsconfig.json"), filepath.Join(clients, "page/build.mjs")))
	require.NoError(t, os.Symlink(modules, filepath.Join(page, "node_modules")))
	return page
}

// TestBuild_IsCurrent builds the page elsewhere, and wants to see what is committed, byte by byte. make page makes it so.
func TestBuild_IsCurrent(t *testing.T) {
	t.Parallel()
	page := checkout(t)
	require.NoError(t, npm.Run(t.Context(), page, "npm", "run", "--silent", "check"))
	out := filepath.Join(page, "dist")
	require.NoError(t, npm.Run(t.Context(), page, "node", "build.mjs", out))
	require.Equal(t, files(t, out), files(t, committed), "run make page, and commit what it has built")
}

// files are the sizes and checksums of the files below dir, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = fmt.Sprintf("%d bytes, %x", len(text), sha256.Sum256(text))
		return err
	}))
	require.NotEmpty(t, all)
	return all
}

// TestUnits runs what needs no browser.
func TestUnits(t *testing.T) {
	t.Parallel()
	page := checkout(t)
	tests := filepath.Join(page, "test")
	require.NoError(t, os.CopyFS(tests, os.DirFS("testdata")))
	require.NoError(t, npm.Run(t.Context(), page, "node", "node_modules/esbuild/bin/esbuild", "test/unit.test.ts", "--bundle", "--platform=node",
		"--format=esm", "--log-level=error", "--outfile=unit.test.mjs"))
	out, err := exec.CommandContext(t.Context(), "node", "--test", filepath.Join(page, "unit.test.mjs")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "# fail 0")
}
