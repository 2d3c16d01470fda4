package peer_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// modules is the node_modules folder with the installed packages.
var modules string

// install brings the packages of package-lock.json into a cache folder of their own, once for each lock file, and
// returns their node_modules.
func install() (string, error) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return "", fmt.Errorf("install npm packages: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("install npm packages: %w", err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "sluice", "peer-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err != nil {
		if err := installInto(dir); err != nil {
			return "", fmt.Errorf("install npm packages: %w", err)
		}
	}
	return filepath.Join(dir, "node_modules"), nil
}

// installInto makes dir in one step, so that it is whole if it is there, whoever else installs at the same time.
func installInto(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		if err := copyFile(fresh, name); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(context.Background(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci (these tests need Node.js and npm; make test installs them): %w\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return err
		}
	}
	return nil
}

// copyFile puts a copy of the file at path into dir.
func copyFile(dir, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600)
}

// node runs a script, at the latest until the test ends, and returns what it prints.
func node(t *testing.T, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // says that it was killed
	})
	lines := bufio.NewScanner(io.TeeReader(out, t.Output()))
	lines.Buffer(nil, 1<<20)
	return lines
}

// said reads lines until one matches pattern, whose first group it returns, and passes over all that follow. It is ""
// if the script ends before.
func said(lines *bufio.Scanner, pattern string) string {
	expr := regexp.MustCompile(pattern)
	for lines.Scan() {
		if found := expr.FindStringSubmatch(lines.Text()); found != nil {
			go func() {
				for lines.Scan() { // until the process ends
				}
			}()
			return found[1]
		}
	}
	return ""
}
