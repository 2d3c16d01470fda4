// Package verify_test checks the files that deploy Sluice, as far as that takes no server.
package verify_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const units = "../systemd"

// machine is the root of a file system with the units, and the programs that they start.
func machine(t *testing.T) (root string, names []string) {
	t.Helper()
	root = t.TempDir()
	system := filepath.Join(root, "etc/systemd/system")
	programs := filepath.Join(root, "opt/sluice/bin")
	for _, dir := range []string{system, programs} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	for _, name := range []string{"api", "worker", "migrate", "sluice"} {
		require.NoError(t, os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\n"), 0o755))
	}
	own, err := filepath.Glob(units + "/*.service")
	require.NoError(t, err)
	require.NotEmpty(t, own)
	targets, err := filepath.Glob("/lib/systemd/system/*.target")
	require.NoError(t, err)
	require.NotEmpty(t, targets, "systemd is not installed: run the tests through make test")
	for _, path := range append(own, targets...) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(system, filepath.Base(path)), text, 0o644))
	}
	for _, path := range own {
		names = append(names, strings.Replace(filepath.Base(path), "@.", "@interactive.", 1))
	}
	return root, names
}

// TestUnits_Verify lets systemd read its units: every directive is known, everything that is named is there.
func TestUnits_Verify(t *testing.T) {
	t.Parallel()
	root, names := machine(t)
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify", "--man=no", "--root=" + root}, names...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
}

// exposure is the most that systemd may find open, in tenths of its scale to 10, where 10 is a program that may do anything.
const exposure = "15"

func TestUnits_AreHardened(t *testing.T) {
	t.Parallel()
	root, names := machine(t)
	for _, name := range names {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", "--root="+root, "--threshold="+exposure, name).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// TestUnits_Settings are those that the programs have.
func TestUnits_Settings(t *testing.T) {
	t.Parallel()
	reference, err := os.ReadFile("../docs/config.md")
	require.NoError(t, err)
	files, err := filepath.Glob(units + "/*.service")
	require.NoError(t, err)
	env, err := filepath.Glob(units + "/env/*.env")
	require.NoError(t, err)
	require.NotEmpty(t, env)
	named := regexp.MustCompile(`(?m)^(?:Environment=)?((?:SLUICE|OPENAI)_[A-Z0-9_]+)=`)
	for _, path := range append(files, env...) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, match := range named.FindAllStringSubmatch(string(text), -1) {
			require.Contains(t, string(reference), "`"+strings.TrimSuffix(match[1], "_FILE")+"`", path)
		}
	}
}
