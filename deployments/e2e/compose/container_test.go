//go:build linux

package compose_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/deployments/internal/process"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// patience ends what hangs. Nothing is measured by it.
const patience = 2 * time.Minute

// container is a process of a service.
type container struct {
	*process.Process
	name string
}

// find returns the path of a program as an image would have it: ours first, then the system's.
func find(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{filepath.Join(bin, name), filepath.Join(filepath.Dir(postgresProgram(t)), name), "/usr/sbin/" + name} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	require.NoError(t, err, "the tests need the program %s: run them through make test", name)
	return path
}

// postgresProgram is the path of the real program: its others are beside it.
func postgresProgram(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SLUICE_TEST_POSTGRES")
	require.NotEmpty(t, path, "SLUICE_TEST_POSTGRES is not set: run the tests through make test")
	real, err := filepath.EvalSymlinks(path)
	require.NoError(t, err)
	return real
}

// command is one with the environment of a container: nothing but what is given to it.
func command(t *testing.T, args, env []string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(find(t, args[0]), args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=10"}, env...)
	return cmd
}

func startContainer(t *testing.T, name string, args, env []string) *container {
	t.Helper()
	cmd := command(t, args, env)
	cmd.Dir = t.TempDir()
	p, err := process.StartCommand(cmd)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s %s\n%s", name, strings.Join(args, " "), &p.Out)
		}
	})
	return &container{p, name}
}

// succeed waits for a good end.
func (c *container) succeed(t *testing.T) {
	t.Helper()
	until(t, func() error {
		if !c.Ended() {
			return fmt.Errorf("%s still runs", c.name)
		}
		return nil
	})
	require.Zero(t, c.Code(), "%s: %s", c.name, &c.Out)
}

// signals are those that services are stopped with.
var signals = map[string]syscall.Signal{"": syscall.SIGTERM, "SIGUSR1": syscall.SIGUSR1}

// stop asks the container to end, as the engine does, within the time that the engine gives it.
func (c *container) stop(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	require.Zero(t, c.StopBy(signals[service.StopSignal], time.Duration(*service.StopGracePeriod)), "%s ends badly, or not within its stop_grace_period of %s: %s", c.name, service.StopGracePeriod, &c.Out)
}

// until polls ok until it returns nil, ever more rarely: asking costs the machine time.
func until(t *testing.T, ok func() error) {
	t.Helper()
	limit := time.After(patience)
	var err error
	for wait := 10 * time.Millisecond; ; wait = min(wait*3/2, 200*time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("waited in vain: %v", err)
		case <-time.After(wait):
		}
	}
}
