// Package process runs programs for the tests and the benchmark, as their users do.
package process

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyLimit = 2 * time.Minute  // ends what hangs; nothing is measured by it
	stopLimit  = 30 * time.Second // after it who was asked to end is killed
)

// Process is a program that was started.
type Process struct {
	Name string // its command line
	Out  Output // what it prints, errors too
	cmd  *exec.Cmd
	end  chan struct{}
}

// Output is what a process prints, readable while it does.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Environment is this program's own with these variables beside it, without what would configure a program of the product.
// The race detector of a child need not wait for long at its end.
func Environment(env ...string) []string {
	own := []string{"GORACE=atexit_sleep_ms=10"}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "SLUICE_") && !strings.HasPrefix(name, "OPENAI_") && !strings.HasPrefix(name, "OTEL_") && !strings.HasPrefix(name, "MAKE") && name != "MFLAGS" {
			own = append(own, pair)
		}
	}
	return append(own, env...)
}

// Start starts the program at path in Environment(env...). The caller ends it.
func Start(path string, env []string, args ...string) (*Process, error) {
	cmd := exec.CommandContext(context.Background(), path, args...) // the caller ends it
	cmd.Env = Environment(env...)
	return StartCommand(cmd)
}

// StartCommand starts cmd, which has its environment. It is in a process group of its own, and where the system can do that it
// dies with this program, however that dies. The caller ends it.
func StartCommand(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: strings.Join(cmd.Args, " "), cmd: cmd, end: make(chan struct{})}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr, cmd.WaitDelay = &p.Out, &p.Out, apart(), stopLimit
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		defer close(p.end)
		_ = cmd.Wait() // Code tells how it ended
	}()
	return p, nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended reports whether the process has ended, and Out is whole.
func (p *Process) Ended() bool {
	select {
	case <-p.end:
		return true
	default:
		return false
	}
}

// Code waits for the process's end and returns its exit code, -1 after a signal.
func (p *Process) Code() int {
	<-p.end
	return p.cmd.ProcessState.ExitCode()
}

// Stop asks the process to end and returns its exit code. Who does not end in time is killed.
func (p *Process) Stop() int { return p.StopBy(syscall.SIGTERM, stopLimit) }

// StopBy is Stop with another signal than SIGTERM, and another time than half a minute.
func (p *Process) StopBy(sig syscall.Signal, within time.Duration) int {
	if p.Ended() {
		return p.Code()
	}
	_ = p.cmd.Process.Signal(sig) // it may end just now
	limit := time.AfterFunc(within, p.Kill)
	defer limit.Stop()
	return p.Code()
}

// Kill ends the process and all that it started, as a crash does, if it still runs, and returns when it is gone.
func (p *Process) Kill() {
	if !p.Ended() {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // it may end just now
		<-p.end
	}
}

// Find waits until what the process prints matches pattern, and returns the match with its groups. It fails when ctx or the
// process ends, and after two minutes.
func (p *Process) Find(ctx context.Context, pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	var match []string
	err := p.Await(ctx, func() bool {
		match = re.FindStringSubmatch(p.Out.String())
		return match != nil
	})
	return match, err
}

// Await asks ok until it is true. It fails as Find does.
func (p *Process) Await(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("%s is not ready after %s:\n%s", p.Name, readyLimit, &p.Out))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond) // nothing tells when the process has gone on
	defer tick.Stop()
	for {
		ended := p.Ended()
		switch {
		case ok():
			return nil
		case ended:
			return fmt.Errorf("%s ended:\n%s", p.Name, &p.Out)
		}
		select {
		case <-tick.C:
		case <-p.end:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Build puts the programs of Go packages into a folder, built as those of a release are.
func Build(into string, packages ...string) error {
	return goBuild([]string{"CGO_ENABLED=0"}, into, append([]string{"-trimpath"}, packages...))
}

// BuildRaced is Build with the race detector, which does not watch the inside of SQLite; see the Makefile.
func BuildRaced(into string, packages ...string) error {
	return goBuild(nil, into, append([]string{"-race", "-gcflags=modernc.org/...=-race=false"}, packages...))
}

func goBuild(env []string, into string, args []string) error {
	cmd := exec.CommandContext(context.Background(), "go", append([]string{"build", "-o", into + string(filepath.Separator)}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build programs: %w", err)
	}
	return nil
}

var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: map[int]bool{}}

// FreeAddr returns a loopback address that nobody has, and nobody in this process gets again, so that a server can come back
// to it: the port lies below those that the system gives to clients.
func FreeAddr() string {
	ports.Lock()
	defer ports.Unlock()
	for {
		port := 15000 + rand.IntN(17000)
		if ports.given[port] {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		listener, err := net.Listen("tcp", addr) //nolint:noctx // it returns at once
		if err == nil && listener.Close() == nil {
			ports.given[port] = true
			return addr
		}
	}
}
