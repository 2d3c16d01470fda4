//go:build linux

// Package compose_test starts compose.yml without a container engine: its services are plain processes with the commands,
// settings, files and dependencies that stand there. Each has a loopback address of its own, as each container has one of
// its own, which takes Linux.
package compose_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"sluice/deployments/internal/process"

	"go.uber.org/goleak"
)

// bin is the folder of the product's programs and of the nats-server.
var bin string

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite builds the programs before its tests.
type suite struct{ *testing.M }

func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "sluice-compose-")
	defer os.RemoveAll(dir)
	bin = dir
	if err = errors.Join(err, build()); err != nil {
		fmt.Fprintln(os.Stderr, "prepare the tests of compose.yml:", err)
		return 1
	}
	return s.M.Run()
}

func build() error {
	return process.Build(bin, "github.com/nats-io/nats-server/v2",
		"sluice/deployments/cmd/sluice", "sluice/api/cmd/api", "sluice/worker/cmd/worker", "sluice/migrations/cmd/migrate")
}
