// Package check checks the Dockerfile without a container engine: by the rules of BuildKit, which would build it, and by
// running its compiler's line over the files that it would see. It is a module of its own because BuildKit is a large one.
package check

import (
	"bytes"
	"context"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const (
	dockerfile = "../Dockerfile"
	top        = "../../.."
)

// offline knows nothing of images, and does not ask.
type offline struct{}

func (offline) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config := []byte(`{"os":"linux","architecture":"amd64","config":{"Env":["PATH=/usr/bin"]}}`)
	return ref, digest.FromBytes(config), config, nil
}

func read(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(dockerfile)
	require.NoError(t, err)
	return text
}

// TestDockerfile_Lint is what docker build --check does.
func TestDockerfile_Lint(t *testing.T) {
	t.Parallel()
	text := read(t)
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", text)
	source.Definition = &llb.Definition{}
	found, err := dockerfile2llb.DockerfileLint(t.Context(), text, dockerfile2llb.ConvertOpt{MetaResolver: offline{}, SourceMap: source})
	require.NoError(t, err)
	require.Nil(t, found.Error, "%v", found.Error)
	for _, w := range found.Warnings {
		t.Errorf("%s (line %d): %s", w.RuleName, w.Location.Ranges[0].Start.Line, w.Detail)
	}
}

func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	tree, err := parser.Parse(bytes.NewReader(read(t)))
	require.NoError(t, err)
	list, _, err := instructions.Parse(tree.AST, nil)
	require.NoError(t, err)
	return list
}

// TestDockerfile_LastStage is empty but for the programs, and is nobody's that may do more.
func TestDockerfile_LastStage(t *testing.T) {
	t.Parallel()
	list := stages(t)
	last := list[len(list)-1]
	require.Equal(t, "scratch", last.BaseName)
	var user string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.RunCommand, *instructions.AddCommand:
			t.Errorf("%s: there is nothing to run in an empty image", c.Name())
		}
	}
	require.Regexp(t, `^[1-9]\d*:[1-9]\d*$`, user, "a number, so that an orchestrator sees that it is not root")
}

// TestDockerfile_Builds runs the lines that compile, over the files that the build would be given: each program is static,
// starts, and knows its version.
func TestDockerfile_Builds(t *testing.T) {
	t.Parallel()
	src, out := t.TempDir(), t.TempDir()
	stage(t, src)
	built := false
	for _, c := range stages(t)[0].Commands {
		run, is := c.(*instructions.RunCommand)
		if !is || !strings.Contains(strings.Join(run.CmdLine, " "), "go build") {
			continue
		}
		line := strings.ReplaceAll(strings.Join(run.CmdLine, " "), "/out/", out+"/")
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Dir, cmd.Env = src, append(os.Environ(), "VERSION=v1.2.3-test", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=")
		said, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", said)
		built = true
	}
	require.True(t, built, "a line that builds")
	for _, name := range []string{"api", "worker", "migrate", "sluice"} {
		path := filepath.Join(out, "usr/bin", name)
		require.NoFileExists(t, path+".exe")
		file, err := elf.Open(path)
		require.NoError(t, err)
		require.Nil(t, file.Section(".dynamic"), "%s is static", name)
		require.NoError(t, file.Close())
		said, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
		require.NoError(t, err, "%s", said)
		require.Contains(t, string(said), name+" v1.2.3-test (")
		require.NoError(t, exec.CommandContext(t.Context(), path, "--help").Run())
	}
}

// stage copies into dir what the build would be given.
func stage(t *testing.T, dir string) {
	t.Helper()
	list, err := os.Open(dockerfile + ".dockerignore")
	require.NoError(t, err)
	defer list.Close()
	patterns, err := ignorefile.ReadAll(list)
	require.NoError(t, err)
	ignored, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, path)
		if err != nil || name == "." {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".git" || entry.Name() == "node_modules" {
				return fs.SkipDir // large, and ignored
			}
			return nil
		}
		skip, err := ignored.MatchesOrParentMatches(filepath.ToSlash(name))
		if err != nil || skip || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o644)
	}))
}
