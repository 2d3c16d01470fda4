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
	return process.Build(bin, "sluice/deployments/cmd/sluice", "sluice/api/cmd/api", "sluice/worker/cmd/worker", "sluice/migrations/cmd/migrate",
		"github.com/nats-io/nats-server/v2")
}

// raced tells whether the tests run under the race detector.
var raced bool

// watched is the folder of programs of which api and worker run under the race detector if the tests do. That costs the machine
// many times as much, so only what the fault suite and the cluster tests strike is built so: everything happens there at once.
var watched = sync.OnceValues(func() (string, error) {
	if !raced {
		return bin, nil
	}
	dir := filepath.Join(bin, "watched")
	err := process.BuildRaced(dir, "sluice/api/cmd/api", "sluice/worker/cmd/worker")
	for _, name := range []string{"sluice", "migrate"} {
		err = errors.Join(err, os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)))
	}
	return dir, err
})
