package peer_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// modules is the folder with the installed npm packages.
var modules string

// install brings the packages of package-lock.json into a cache folder of its own, once for each lock file.
func install() (string, error) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "sluice", "peer-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(fresh, name), text, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(context.Background(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci (the tests need Node.js and npm): %w\n%s", err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !os.IsExist(err) {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// node starts a script of an installed package and ends it with the test.
func node(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	args[0] = filepath.Join(modules, args[0])
	cmd := exec.CommandContext(context.Background(), "node", args...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	return cmd
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// answers waits until something listens at url.
func answers(t *testing.T, url string) {
	t.Helper()
	require.Eventually(t, func() bool {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	}, time.Minute, 20*time.Millisecond, "%s does not answer", url)
}

// lines runs the viewer script and returns what it prints.
func lines(t *testing.T, args ...string) <-chan []string {
	t.Helper()
	script := filepath.Join(modules, "viewer-"+filepath.Base(t.TempDir())+strconv.Itoa(os.Getpid())+".mjs") // beside the modules it imports
	text, err := os.ReadFile(filepath.Join("testdata", "viewer.mjs"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(script, text, 0o600))
	t.Cleanup(func() { _ = os.Remove(script) })
	cmd := exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	done := make(chan []string, 1)
	go func() {
		var got []string
		in := bufio.NewScanner(out)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			got = append(got, in.Text())
		}
		if err := cmd.Wait(); err != nil {
			got = append(got, "viewer: "+err.Error())
		}
		done <- got
	}()
	return done
}
