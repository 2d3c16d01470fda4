package clients_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sluice/deployments/internal/npm"
	"sluice/deployments/internal/process"
)

const source = "../../clients/js"

// build makes the package as it would be published, in a folder of its own, and bundles the browser's driver with it.
func build(ctx context.Context) error {
	modules, err := npm.Install(ctx, source)
	if err != nil {
		return err
	}
	if built, err = os.MkdirTemp("", "sluice-client-"); err != nil {
		return err
	}
	err = errors.Join(
		os.Symlink(modules, filepath.Join(built, "node_modules")),
		os.CopyFS(filepath.Join(built, "src"), os.DirFS(filepath.Join(source, "src"))),
		npm.Copy(built, filepath.Join(source, "package.json"), filepath.Join(source, "tsconfig.json"),
			filepath.Join(source, "README.md"), filepath.Join(source, "LICENSE"), "testdata/merge.test.mjs", "testdata/driver.mjs", "testdata/node.mjs", "testdata/websocket.mjs", "testdata/page.mjs", "testdata/page.html"),
	)
	if err != nil {
		return fmt.Errorf("build the client: %w", err)
	}
	if err := npm.Run(ctx, built, "npm", "run", "--silent", "build"); err != nil {
		return err
	}
	return npm.Run(ctx, built, "node", "node_modules/esbuild/bin/esbuild", "page.mjs", "--bundle", "--format=esm", "--minify",
		"--target=es2022", "--log-level=error", "--outfile=page.js")
}

// buildProduct puts the program beside the package.
func buildProduct() error {
	sluice = filepath.Join(built, "bin", "sluice")
	return process.Build(filepath.Dir(sluice), "sluice/deployments/cmd/sluice")
}
