package page_test

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire carries connections to a server, and can be cut, or fall silent as one does under a lid that is closed.
type wire struct {
	addr   string
	target string

	mu     sync.Mutex
	silent chan struct{} // nil: it is not; closed when it speaks again
	refuse bool
	open   map[net.Conn]struct{}
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{addr: l.Addr().String(), target: target, open: map[net.Conn]struct{}{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.carry(in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.set(nil, true)
		w.cut()
		running.Wait()
	})
	return w
}

// set says what becomes of what is sent from now on.
func (w *wire) set(silent chan struct{}, refuse bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent != nil {
		close(w.silent)
	}
	w.silent, w.refuse = silent, refuse
}

// lose ends all connections and lets no new one through until mend.
func (w *wire) lose() {
	w.set(nil, true)
	w.cut()
}

// hush holds back what is sent until mend; nobody is told.
func (w *wire) hush() { w.set(make(chan struct{}), false) }

func (w *wire) mend() { w.set(nil, false) }

// cut ends all connections.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
}

// take notes a connection, unless none may be.
func (w *wire) take(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.refuse {
		w.open[c] = struct{}{}
	}
	return !w.refuse
}

func (w *wire) drop(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, c)
	_ = c.Close()
}

func (w *wire) carry(in net.Conn) {
	if !w.take(in) {
		_ = in.Close()
		return
	}
	defer w.drop(in)
	out, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	if !w.take(out) {
		_ = out.Close()
		return
	}
	defer w.drop(out)
	var back sync.WaitGroup
	back.Go(func() {
		w.copy(in, out)
		_ = in.Close()
	})
	w.copy(out, in)
	_ = out.Close()
	back.Wait()
}

// copy is io.Copy that waits while the wire is silent.
func (w *wire) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.mu.Lock()
		silent := w.silent
		w.mu.Unlock()
		if silent != nil {
			<-silent
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
