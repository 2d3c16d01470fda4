//go:build linux

package compose_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// patience ends what hangs. Nothing is measured by it.
const patience = 2 * time.Minute

// container is a process of a service.
type container struct {
	name string
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed at its end
}

// output is what a process prints, readable while it does.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
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
	c := &container{name: name, cmd: command(t, args, env), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.Dir = &c.out, &c.out, t.TempDir()
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, c.cmd.Start(), "start %s", name)
	go func() {
		defer close(c.done)
		_ = c.cmd.Wait() // how it ended is asked by code
	}()
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("%s %s\n%s", name, strings.Join(args, " "), c.out.String())
		}
	})
	return c
}

// kill ends the container as a crash does, if it still runs.
func (c *container) kill() {
	select {
	case <-c.done:
	default:
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // it may end just now
		<-c.done
	}
}

func (c *container) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// succeed waits for a good end.
func (c *container) succeed(t *testing.T) {
	t.Helper()
	until(t, func() error {
		if !c.ended() {
			return fmt.Errorf("%s still runs", c.name)
		}
		return nil
	})
	require.Zero(t, c.cmd.ProcessState.ExitCode(), "%s: %s", c.name, c.out.String())
}

// signals are those that services are stopped with.
var signals = map[string]syscall.Signal{"": syscall.SIGTERM, "SIGUSR1": syscall.SIGUSR1}

// stop asks the container to end, as the engine does, within the time that the engine gives it.
func (c *container) stop(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(signals[service.StopSignal]))
	select {
	case <-c.done:
	case <-time.After(time.Duration(*service.StopGracePeriod)):
		t.Fatalf("%s does not end within its stop_grace_period of %s", c.name, service.StopGracePeriod)
	}
	require.Zero(t, c.cmd.ProcessState.ExitCode(), "%s: %s", c.name, c.out.String())
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
