// Package e2e_test runs the product as its users do: the built programs as processes of their own, against a real
// PostgreSQL, redis-server and nats-server, with clients outside of them. What is killed here is killed for good.
//
// Only the upstream is simulated, and served by the test, which can so count what was asked of it.
package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sluice/deployments/internal/process"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// bin is the folder of the built programs, for all tests.
var bin string

// suite builds the programs before its tests and removes them afterwards.
type suite struct{ *testing.M }

// sideBySide is how many tests run at once: they wait for processes more than they compute.
const sideBySide = "8"

func (s suite) Run() int {
	flag.Parse()
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	bin = dir
	if err := build(); err != nil {
		return fail(err)
	}
	return s.M.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "prepare end-to-end tests:", err)
	return 1
}

// build puts the programs of the product, and the nats-server that they are tested against, into bin.
func build() error {
	return errors.Join(buildProduct(bin), process.Build(bin, "github.com/nats-io/nats-server/v2"))
}

func buildProduct(into string, flags ...string) error {
	return process.Build(into, append(flags[:len(flags):len(flags)],
		"sluice/deployments/cmd/sluice", "sluice/api/cmd/api", "sluice/worker/cmd/worker", "sluice/migrations/cmd/migrate")...)
}

// raceFlags build programs under the race detector if the tests are. They cost the machine many times as much, so only what
// is struck by the fault suite and in clusters is built so: everything happens there at once.
var raceFlags []string

// watched is the folder of the programs that are built with raceFlags.
var watched = sync.OnceValues(func() (string, error) {
	if raceFlags == nil {
		return bin, nil
	}
	dir := filepath.Join(bin, "watched")
	err := process.Build(dir, append(raceFlags[:len(raceFlags):len(raceFlags)], "sluice/api/cmd/api", "sluice/worker/cmd/worker")...)
	for _, name := range []string{"sluice", "migrate"} {
		err = errors.Join(err, os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)))
	}
	return dir, err
})
