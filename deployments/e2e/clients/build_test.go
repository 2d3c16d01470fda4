package clients_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const source = "../../clients/js"

// build makes the package as it would be published, in a folder of its own, and bundles the browser's driver with it.
func build(ctx context.Context) error {
	modules, err := install(ctx)
	if err != nil {
		return err
	}
	if built, err = os.MkdirTemp("", "sluice-client-"); err != nil {
		return err
	}
	err = errors.Join(
		os.Symlink(modules, filepath.Join(built, "node_modules")),
		os.CopyFS(filepath.Join(built, "src"), os.DirFS(filepath.Join(source, "src"))),
		copyFiles(built, filepath.Join(source, "package.json"), filepath.Join(source, "tsconfig.json"),
			filepath.Join(source, "README.md"), filepath.Join(source, "LICENSE"), "testdata/merge.test.mjs", "testdata/driver.mjs", "testdata/node.mjs", "testdata/websocket.mjs", "testdata/page.mjs", "testdata/page.html"),
	)
	if err != nil {
		return fmt.Errorf("build the client: %w", err)
	}
	if err := command(ctx, built, "npm", "run", "--silent", "build"); err != nil {
		return err
	}
	return command(ctx, built, "node", "node_modules/esbuild/bin/esbuild", "page.mjs", "--bundle", "--format=esm", "--minify",
		"--target=es2022", "--log-level=error", "--outfile=page.js")
}

// install brings the packages of the client's lock file into a cache folder of their own, once for each lock file, and
// returns their node_modules.
func install(ctx context.Context) (string, error) {
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return "", fmt.Errorf("install npm packages: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("install npm packages: %w", err)
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "sluice", "client-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err != nil {
		if err := installInto(ctx, dir); err != nil {
			return "", fmt.Errorf("install npm packages: %w", err)
		}
	}
	return filepath.Join(dir, "node_modules"), nil
}

// installInto makes dir in one step, so that it is whole if it is there, whoever else installs at the same time.
func installInto(ctx context.Context, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		if err := copyFiles(fresh, filepath.Join(source, name)); err != nil {
			return err
		}
	}
	if err := command(ctx, fresh, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
		return fmt.Errorf("these tests need Node.js and npm; make test installs them: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, out)
	}
	return nil
}

// copyFiles puts copies of the files into dir.
func copyFiles(dir string, paths ...string) error {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
