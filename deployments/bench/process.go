package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that was started.
type process struct {
	name string
	pid  int
	out  output
	end  context.CancelFunc
	done chan struct{} // closed when it has ended

	url     string // of an api
	private string // address for profiles, of an api or a worker
}

const (
	startLimit = 30 * time.Second
	stopLimit  = 15 * time.Second
)

// start starts the program at path with these variables beside the inherited ones, save for those that would configure
// it. The caller stops it.
func start(path string, env []string, args ...string) (*process, error) {
	ctx, end := context.WithCancel(context.Background())
	p := &process{name: strings.Join(append([]string{path}, args...), " "), end: end, done: make(chan struct{})}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = append(environment(), env...), &p.out, &p.out, apart()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	if err := cmd.Start(); err != nil {
		end()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // stop asks for the end; any other shows in what waits for the process
	}()
	return p, nil
}

// environment is this program's own, without the product's settings.
func environment() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLUICE_") && !strings.HasPrefix(pair, "OPENAI_") {
			env = append(env, pair)
		}
	}
	return env
}

// stop asks the process to end, waits until it has, and kills it if that takes too long.
func (p *process) stop() {
	p.end()
	<-p.done
}

// find waits until what the process prints matches pattern, and returns the match with its groups.
func (p *process) find(ctx context.Context, pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("%s is not ready after %s:\n%s", p.name, startLimit, &p.out))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if match := re.FindStringSubmatch(p.out.String()); match != nil {
			return match, nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return nil, fmt.Errorf("%s ended:\n%s", p.name, &p.out)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
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
