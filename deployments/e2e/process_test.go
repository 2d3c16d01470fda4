package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/deployments/internal/process"

	"github.com/stretchr/testify/require"
)

// patience ends what hangs. Nothing is measured by it.
const patience = 2 * time.Minute

// program is what to run, and how.
type program struct {
	name  string // one of those in bin, or a path
	args  []string
	env   []string // NAME=value, beside the inherited ones
	dir   string
	in    string         // standard input; empty: none
	death syscall.Signal // sent when the tests die; 0: SIGKILL
}

// child is a started program. It is killed at the end of its test, with all that it started.
type child struct {
	program
	cmd      *exec.Cmd
	out, err process.Output
	done     chan struct{} // closed when it and all that it started have ended, and out and err are whole
}

// start starts p. A test that fails shows what p printed.
func (p program) start(t *testing.T) *child {
	t.Helper()
	path := p.name
	if !strings.ContainsRune(path, filepath.Separator) {
		path = filepath.Join(bin, path)
	}
	s := &child{program: p, cmd: exec.Command(path, p.args...), done: make(chan struct{})}
	s.cmd.Env, s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = process.Environment(p.env...), p.dir, &s.out, &s.err
	if p.in != "" {
		s.cmd.Stdin = strings.NewReader(p.in)
	}
	if p.death == 0 {
		p.death = syscall.SIGKILL
	}
	s.cmd.SysProcAttr, s.cmd.WaitDelay = attributes(p.death), patience
	require.NoError(t, s.cmd.Start(), "start %s", p.name)
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // how it ended is asked by code
	}()
	t.Cleanup(func() {
		s.kill()
		if strings.Contains(s.err.String(), "DATA RACE") {
			t.Error("the race detector found something")
		}
		if t.Failed() {
			t.Logf("%s", s)
		}
	})
	return s
}

// run runs p to its end.
func (p program) run(t *testing.T) *child {
	t.Helper()
	s := p.start(t)
	s.code(t)
	return s
}

// succeed runs p to its end, which must be a good one, and returns what it wrote to standard output.
func (p program) succeed(t *testing.T) string {
	t.Helper()
	s := p.run(t)
	require.Zero(t, s.code(t), "%s", s)
	return s.out.String()
}

func (s *child) String() string {
	return fmt.Sprintf("%s %s\n--- stdout\n%s--- stderr\n%s---", s.name, strings.Join(s.args, " "), s.out.String(), s.err.String())
}

// signal sends sig to the process, and to all that it started.
func (s *child) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(-s.cmd.Process.Pid, sig), "signal %s", s.name)
}

// kill ends the process as a crash does, if it still runs, and returns when it is gone.
func (s *child) kill() {
	select {
	case <-s.done:
	default:
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // it may end just now
		<-s.done
	}
}

// code waits for the end of the process and returns its exit code, -1 after a signal.
func (s *child) code(t *testing.T) int {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatalf("%s does not end", s)
	}
	return s.cmd.ProcessState.ExitCode()
}

// stop asks the process to end, which it must do well.
func (s *child) stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	s.signal(t, sig)
	require.Zero(t, s.code(t), "%s", s)
}

// await returns the first match of pattern, with its groups, in what the process prints.
func (s *child) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var match []string
	s.until(t, "print "+pattern, func() bool {
		if match = re.FindStringSubmatch(s.out.String()); match == nil {
			match = re.FindStringSubmatch(s.err.String())
		}
		return match != nil
	})
	return match
}

// until polls ok for as long as the process lives.
func (s *child) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ended := false
	until(t, s.name+" to "+what, func() bool {
		if ok() {
			return true
		}
		require.False(t, ended, "ended before it did %s: %s", what, s)
		select {
		case <-s.done:
			ended = true // what it printed last is looked at once more
		default:
		}
		return false
	})
}

// until polls ok until it is true, ever more rarely: asking costs the machine time, which the others need.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	for wait := 5 * time.Millisecond; !ok(); wait = min(wait*3/2, 50*time.Millisecond) {
		select {
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(wait):
		}
	}
}
