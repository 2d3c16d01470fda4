package peer_test

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// modules is the node_modules folder with the installed packages.
var modules string

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
