// Package npm installs the packages of a lock file for tests that run Node.js.
package npm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Install brings the packages of source's package-lock.json into a folder of the user's cache, once for each lock file,
// and returns their node_modules. No script of a package runs.
func Install(ctx context.Context, source string) (modules string, err error) {
	dir, err := place(source)
	if err == nil {
		if _, missing := os.Stat(dir); missing != nil {
			err = install(ctx, source, dir)
		}
	}
	if err != nil {
		return "", fmt.Errorf("install npm packages: %w", err)
	}
	return filepath.Join(dir, "node_modules"), nil
}

func place(source string) (string, error) {
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	return filepath.Join(cache, "sluice", "npm-"+hex.EncodeToString(sum[:8])), nil
}

// install makes dir in one step, so that it is whole if it is there, whoever else installs at the same time.
func install(ctx context.Context, source, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json", ".npmrc"} {
		if err := Copy(fresh, filepath.Join(source, name)); err != nil {
			return err
		}
	}
	if err := Run(ctx, fresh, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
		return fmt.Errorf("these tests need Node.js and npm; make test installs them: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return err
		}
	}
	return nil
}

// Run runs a command in dir. Its error has what the command said.
func Run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, out)
	}
	return nil
}

// Copy puts copies of the files into dir, without their folders.
func Copy(dir string, paths ...string) error {
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
