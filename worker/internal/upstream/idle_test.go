package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"sluice/shared/completion"
	"sluice/shared/modelsim"

	"github.com/stretchr/testify/require"
)

// pipes is a listener whose connections live in memory, so that a test's fake clock rules them.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// timed runs test against handler under a fake clock.
func timed(t *testing.T, handler http.Handler, test func(t *testing.T, u *Upstream)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u, err := New(Config{BaseURL: "http://upstream/v1"})
		require.NoError(t, err)
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		u.pool.DialContext, u.fresh.DialContext = l.dial, l.dial
		u.pool.Proxy, u.fresh.Proxy = nil, nil
		server := &http.Server{Handler: handler}
		go func() { _ = server.Serve(l) }()
		defer func() {
			u.Close()
			require.NoError(t, server.Close())
		}()
		test(t, u)
	})
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// after sends lines, if any, then nothing, or a comment every ten seconds, until the client leaves.
func after(lines []string, heartbeat bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if lines != nil {
			events(lines...)(w, r)
			flush(w)
		}
		for heartbeat && r.Context().Err() == nil {
			_, _ = io.WriteString(w, ": ping\n\n")
			flush(w)
			select {
			case <-time.After(10 * time.Second):
			case <-r.Context().Done():
			}
		}
		<-r.Context().Done()
	})
}

func TestUpstream_Stalls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.Handler
		chunks  int
		code    completion.Code
		took    time.Duration
	}{
		"before the header":              {after(nil, false), 0, completion.CodeStalled, 120 * time.Second},
		"before the first chunk":         {after([]string{}, false), 0, completion.CodeStalled, 60 * time.Second},
		"after a chunk":                  {after([]string{"data: " + hello + "\n\n"}, false), 1, completion.CodeStalled, 60 * time.Second},
		"heartbeats do not count":        {after([]string{"data: " + hello + "\n\n"}, true), 1, completion.CodeStalled, 60 * time.Second},
		"after the finish, complete":     {after([]string{"data: " + stop + "\n\n"}, false), 1, "", tailLimit},
		"after DONE, complete":           {after([]string{"data: " + hello + "\n\ndata: [DONE]\n\n"}, false), 1, "", drainLimit},
		"gzip without a byte of content": {gzipHeader(after([]string{}, false)), 0, completion.CodeStalled, 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, c.handler, func(t *testing.T, u *Upstream) {
				t.Helper()
				began := time.Now()
				chunks, err := collect(u, t.Context(), ask("m", ""))
				require.Len(t, chunks, c.chunks)
				require.Equal(t, c.took, time.Since(began))
				if c.code == "" {
					require.NoError(t, err)
				} else {
					requireCode(t, c.code, err)
				}
			})
		})
	}
}

func gzipHeader(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		next.ServeHTTP(w, r)
	})
}

func TestUpstream_SlowStreamIsNoStall(t *testing.T) {
	t.Parallel()
	timed(t, modelsim.New(modelsim.Config{}), func(t *testing.T, u *Upstream) {
		t.Helper()
		chunks, err := collect(u, t.Context(), ask("sim?first=59s&tps=0.02&tokens=3", ""))
		require.NoError(t, err)
		require.Equal(t, modelsim.AnswerOf(3, "hi"), textOf(chunks))
	})
}

func TestUpstream_SlowReaderIsNoStall(t *testing.T) {
	t.Parallel()
	timed(t, modelsim.New(modelsim.Config{}), func(t *testing.T, u *Upstream) {
		t.Helper()
		n := 0
		for _, err := range u.Stream(t.Context(), completion.EndpointChat, ask("sim?first=0s&tps=1&tokens=5", "")) {
			require.NoError(t, err)
			n++
			time.Sleep(time.Hour) // the fake clock's
		}
		require.Greater(t, n, 5)
	})
}
