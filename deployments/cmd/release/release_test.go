package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/stretchr/testify/require"
)

// make makes a release for this system of one program, the smallest.
func makeRelease(t *testing.T) *release {
	t.Helper()
	r := &release{
		Version: "v1.2.3-test", Out: filepath.Join(t.TempDir(), "dist"), Source: "../../..",
		Systems: []string{runtime.GOOS + "/" + runtime.GOARCH}, Programs: []string{"sluice/migrations/cmd/migrate"},
	}
	require.NoError(t, r.Validate())
	require.NoError(t, r.run(t.Context()))
	return r
}

// TestRelease_SameBytes makes a release twice, and runs what is in it.
func TestRelease_SameBytes(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	first, second := makeRelease(t), makeRelease(t)
	sums, err := os.ReadFile(filepath.Join(first.Out, "checksums.txt"))
	require.NoError(t, err)
	again, err := os.ReadFile(filepath.Join(second.Out, "checksums.txt"))
	require.NoError(t, err)
	require.Equal(t, string(sums), string(again))
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		sum, name, found := strings.Cut(line, "  ")
		require.True(t, found, line)
		text, err := os.ReadFile(filepath.Join(first.Out, name))
		require.NoError(t, err)
		require.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(text)))
	}

	name := "sluice_v1.2.3-test_" + runtime.GOOS + "_" + runtime.GOARCH
	dir := unpack(t, filepath.Join(first.Out, name+".tar.gz"))
	for _, file := range []string{"LICENSE", "README.md", "systemd/sluice-api.service", "systemd/env/sluice.env"} {
		require.FileExists(t, filepath.Join(dir, name, file))
	}
	said, err := exec.CommandContext(t.Context(), filepath.Join(dir, name, "bin", "migrate"), "--version").Output()
	require.NoError(t, err)
	require.Equal(t, "migrate v1.2.3-test ("+runtime.Version()+")\n", string(said))

	f, err := os.Open(filepath.Join(first.Out, name+".cdx.json"))
	require.NoError(t, err)
	defer f.Close()
	var bom cyclonedx.BOM
	require.NoError(t, cyclonedx.NewBOMDecoder(f, cyclonedx.BOMFileFormatJSON).Decode(&bom))
	require.Equal(t, "2023-11-14T22:13:20Z", bom.Metadata.Timestamp)
	var names []string
	for _, c := range *bom.Components {
		require.NotEmpty(t, c.Version, c.Name)
		names = append(names, c.Name)
	}
	require.Subset(t, names, []string{"github.com/uptrace/bun", "github.com/jackc/pgx/v5", "std"})
	require.NotContains(t, strings.Join(names, " "), "sluice/")
}

// unpack unpacks an archive into a folder, and returns that.
func unpack(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	r := tar.NewReader(z)
	for {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		require.NoError(t, err)
		require.EqualValues(t, 1700000000, head.ModTime.Unix())
		require.Zero(t, head.Uid)
		require.Empty(t, head.Uname)
		into := filepath.Join(dir, head.Name)
		if head.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(into, 0o755))
			continue
		}
		out, err := os.OpenFile(into, os.O_CREATE|os.O_WRONLY, os.FileMode(head.Mode))
		require.NoError(t, err)
		_, err = io.Copy(out, r)
		require.NoError(t, err)
		require.NoError(t, out.Close())
	}
}

func TestRelease_Refuses(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, (&release{Version: "a/b"}).Validate(), "names of files")
	require.ErrorContains(t, (&release{Version: "v1", Systems: []string{"linux"}}).Validate(), "GOOS/GOARCH")
}
