package clients_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy carries connections to a server that may move, and cuts them when it is told to.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	target   string
	open     map[net.Conn]struct{} // the callers' ends
	count    int                   // connections so far
	changed  chan struct{}         // closed when open changes
}

func startProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, open: map[net.Conn]struct{}{}, changed: make(chan struct{})}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close() // ends accept
		p.cut()
		running.Wait()
	})
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.carry(in) })
		}
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// aim says where new connections go.
func (p *proxy) aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// carry copies both ways until either side ends or the connection is cut.
func (p *proxy) carry(caller net.Conn) {
	defer caller.Close()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	p.note(caller, true)
	defer p.note(caller, false)
	var asking sync.WaitGroup
	asking.Go(func() {
		_, _ = io.Copy(server, caller)
		_ = server.Close() // frees the copy below
	})
	_, _ = io.Copy(caller, server)
	_ = caller.Close() // frees the copy above
	asking.Wait()
}

func (p *proxy) note(caller net.Conn, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if open {
		p.open[caller] = struct{}{}
		p.count++
	} else {
		delete(p.open, caller)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// served is how many connections there have been.
func (p *proxy) served() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// cut ends all connections and returns how many there were.
func (p *proxy) cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for caller := range p.open {
		_ = caller.Close()
	}
	return len(p.open)
}

// await waits until the number of open connections is as wanted.
func (p *proxy) await(wanted func(open int) bool) error {
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		p.mu.Lock()
		open, changed := len(p.open), p.changed
		p.mu.Unlock()
		if wanted(open) {
			return nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return fmt.Errorf("wait for connections: %d are open", open)
		}
	}
}

func none(open int) bool { return open == 0 }
func some(open int) bool { return open > 0 }
