package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// system makes the archive for one system, and the list of what is in it, and returns their names.
func (r *release) system(ctx context.Context, system string) ([]string, error) {
	dir, err := os.MkdirTemp("", "sluice-release-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	name := strings.Join([]string{"sluice", r.Version, strings.Replace(system, "/", "_", 1)}, "_")
	tree := filepath.Join(dir, name)
	bin := filepath.Join(tree, "bin")
	if err := r.build(ctx, system, bin); err != nil {
		return nil, err
	}
	if err := r.copy(tree); err != nil {
		return nil, err
	}
	list := name + ".cdx.json"
	if err := r.list(bin, filepath.Join(r.Out, list)); err != nil {
		return nil, err
	}
	archive := name + ".tar.gz"
	return []string{archive, list}, r.pack(dir, filepath.Join(r.Out, archive))
}

// build puts the programs for a system into bin.
func (r *release) build(ctx context.Context, system, bin string) error {
	goos, goarch, _ := strings.Cut(system, "/")
	stamp := fmt.Sprintf("-s -w -X main.version=%[1]s -X sluice/shared/telemetry.Version=%[1]s", r.Version)
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags", stamp, "-o", bin + string(filepath.Separator)}, r.Programs...)...)
	cmd.Dir = r.Source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+goos, "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	return nil
}

// copy puts beside the programs what goes with them.
func (r *release) copy(tree string) error {
	for _, name := range []string{"LICENSE", "README.md"} {
		text, err := os.ReadFile(filepath.Join(r.Source, name))
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), text, 0o644); err != nil {
			return fmt.Errorf("copy: %w", err)
		}
	}
	if err := os.CopyFS(filepath.Join(tree, "systemd"), os.DirFS(filepath.Join(r.Source, "deployments/systemd"))); err != nil {
		return fmt.Errorf("copy units: %w", err)
	}
	return nil
}
