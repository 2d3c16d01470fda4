package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
)

// screen is a program on a terminal of its own.
type screen struct {
	cmd      *exec.Cmd
	terminal *os.File // our end
	slave    *os.File // the program's end, kept open so that its settings can be read afterwards
	before   *term.State
	shown    process.Output
	done     chan struct{}
	wide     bool
}

// onScreen starts sluice on a terminal.
func (i *installation) onScreen(t *testing.T, args ...string) *screen {
	t.Helper()
	s := &screen{done: make(chan struct{})}
	var err error
	s.terminal, s.slave, err = pty.Open()
	require.NoError(t, err)
	require.NoError(t, pty.Setsize(s.terminal, &pty.Winsize{Rows: 24, Cols: 80}))
	s.before, err = term.GetState(s.slave.Fd())
	require.NoError(t, err)
	s.cmd = exec.Command(filepath.Join(bin, "sluice"), args...)
	s.cmd.Env = process.Environment(append(i.sluice().env, "TERM=xterm-256color", "NO_COLOR=")...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.slave, s.slave, s.slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, s.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := s.terminal.Read(buf)
			_, _ = s.shown.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // how it ended is asked by its state
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.done
		require.NoError(t, s.slave.Close())
		require.NoError(t, s.terminal.Close())
		<-read
		if t.Failed() {
			shown := s.shown.String()
			t.Logf("%q", shown[max(len(shown)-5000, 0):])
		}
	})
	return s
}

// await makes the terminal a column wider or narrower, which paints it anew, until it shows all of texts.
func (s *screen) await(t *testing.T, texts ...string) {
	t.Helper()
	until(t, "screen to show "+strings.Join(texts, ", "), func() bool {
		s.wide = !s.wide
		size := pty.Winsize{Rows: 24, Cols: 80}
		if s.wide {
			size.Cols++
		}
		before := len(s.shown.String())
		require.NoError(t, pty.Setsize(s.terminal, &size))
		time.Sleep(100 * time.Millisecond) // for the program to be told and to paint, which nothing tells us
		seen := s.shown.String()[before:]
		for _, text := range texts {
			if !strings.Contains(seen, text) {
				return false
			}
		}
		return true
	})
}

func (s *screen) press(t *testing.T, keys string) {
	t.Helper()
	_, err := s.terminal.WriteString(keys)
	require.NoError(t, err)
}

// code waits for the end of the program.
func (s *screen) code(t *testing.T) int {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// TestTop watches an installation whose jobs run, is left, and comes back.
func TestTop(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	server := i.up(t)
	job := i.api(t).submit(t, "tps=20&tokens=100000")
	failed := i.api(t).submit(t, "fail=400")
	require.Equal(t, completion.Failed, i.api(t).finished(t, failed.ID).State)
	i.topOnce(t, failed)

	s := i.onScreen(t, "top", "--every", "200ms")
	s.await(t, i.url, "interactive", "1/64", "Workers", "alive", "Upstreams", "sim", "upstream_rejected")
	s.press(t, "?")
	s.await(t, "this help")
	s.press(t, "\x1b[Z?") // shift-tab, and out of the help
	s.await(t, "━━ Failures")
	s.press(t, "p")
	s.await(t, "PAUSED")
	s.press(t, "p")
	s.await(t, "every 200ms")
	_, err := i.api(t).Cancel(t.Context(), job.ID)
	require.NoError(t, err)
	server.stop(t, syscall.SIGTERM)
	s.await(t, "No answer for", "refused); start it with sluice up", "The figures are from", "alive")
	i.up(t)
	s.await(t, "every 200ms\x1b[m\r\naccepted")
	s.press(t, "\x03")
	require.Zero(t, s.code(t), "leaving is how it ends")
	until(t, "the last of what it wrote", func() bool { return strings.Contains(s.shown.String(), "\x1b[?1049l") })
	shown := s.shown.String()
	require.Equal(t, 1, strings.Count(shown, "\x1b[?1049h"), "it is shown on the other screen")
	require.Greater(t, strings.LastIndex(shown, "\x1b[?1049l"), strings.LastIndex(shown, "Workers"), "and left")
	require.Greater(t, strings.LastIndex(shown, "\x1b[?25h"), strings.LastIndex(shown, "\x1b[?25l"), "the cursor is back")
	after, err := term.GetState(s.slave.Fd())
	require.NoError(t, err)
	require.Equal(t, s.before, after, "the terminal is as it was")
}

// topOnce prints what there is, and what is wrong.
func (i *installation) topOnce(t *testing.T, failed client.Job) {
	t.Helper()
	until(t, "the worker to tell of the job that runs", func() bool {
		return gjson.Get(i.sluice("top", "--json").succeed(t), "system.lanes.0.running").Int() == 1
	})
	text := i.sluice("top").succeed(t) // no terminal
	require.Regexp(t, `(?m)^LANE +WAITING +OLDEST +RUNNING .*\ninteractive +0 +– +1/64 .*\nbatch +0 +– +0/64 `, text)
	require.Regexp(t, `(?m)^sim +ok +1 `, text)
	require.Contains(t, text, failed.ID)
	require.NotContains(t, text, "\x1b")
	require.Equal(t, failed.ID, gjson.Get(i.sluice("top", "--json").succeed(t), "failures.0.id").Str)

	weak := i.sluice("top")
	weak.env = append(weak.env, "SLUICE_API_KEY="+strings.TrimSpace(i.sluice("keys", "create", "--tenant", "acme").succeed(t)))
	p := weak.run(t)
	require.Equal(t, 1, p.code(t))
	require.Regexp(t, `^sluice: .*insufficient_scope.*sluice keys create --tenant TENANT --scope SCOPE\n$`, p.err.String())
	require.Equal(t, 2, i.sluice("top", "--every", "1ms").run(t).code(t))
}
