package peer_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/npm"
	"sluice/shared/client"
	"sluice/shared/completion"
)

// watch starts the Node.js viewer of a job.
func watch(t *testing.T, webSocket string, job client.Job) *bufio.Scanner {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	require.NoError(t, npm.Copy(dir, "testdata/viewer.mjs"))
	return node(t, filepath.Join(dir, "viewer.mjs"), webSocket, job.Subject, job.Stream.Credential)
}

// untilReady reads the past that the viewer prints before it listens.
func untilReady(t *testing.T, viewer *bufio.Scanner) (past []string) {
	t.Helper()
	for viewer.Scan() {
		if viewer.Text() == "ready" {
			return past
		}
		past = append(past, viewer.Text())
	}
	require.Fail(t, "the viewer ended before it was ready", "%v", past)
	return nil
}

// rest reads what the viewer prints until it ends.
func rest(t *testing.T, viewer *bufio.Scanner) (lines []string) {
	t.Helper()
	for viewer.Scan() {
		if viewer.Text() != "ready" {
			lines = append(lines, viewer.Text())
		}
	}
	require.NoError(t, viewer.Err())
	return lines
}

// stream is a job's event stream that is being read.
type stream struct {
	events []completion.Event
	err    error
	done   chan struct{}
}

func listen(ctx context.Context, api *client.Client, job client.Job) *stream {
	s := &stream{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.events, s.err = follow(ctx, api, job.ID)
	}()
	return s
}

// requireSame checks that the viewer's lines are the events of the stream, without gaps, to the final one.
func (s *stream) requireSame(t *testing.T, lines []string) {
	t.Helper()
	<-s.done
	require.NoError(t, s.err)
	require.Len(t, lines, len(s.events), "%s", strings.Join(lines, "\n"))
	for i, e := range s.events {
		require.EqualValues(t, i+1, e.Seq)
		text, err := e.Encode()
		require.NoError(t, err)
		require.JSONEq(t, string(text), lines[i])
	}
	require.True(t, s.events[len(s.events)-1].Type.Final())
}

// hold takes the only slot of the worker until it is released, so that jobs wait.
func hold(t *testing.T, api *client.Client) (release func()) {
	t.Helper()
	job := submit(t, api, request("sim?stall=0", "hold"))
	for _, err := range api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
		break // it has started
	}
	return func() {
		_, err := api.Cancel(t.Context(), job.ID)
		require.NoError(t, err)
	}
}

func TestViewer_I3_Before(t *testing.T) {
	t.Parallel()
	s, api := start(t, "--interactive-slots=1")
	release := hold(t, api)
	job := submit(t, api, request("sim?tokens=80&tps=200", "hi 😀"))
	events := listen(t.Context(), api, job)
	viewer := watch(t, s.WebSocketURL(), job)
	require.Empty(t, untilReady(t, viewer))
	release()
	events.requireSame(t, rest(t, viewer))
}

func TestViewer_I3_During(t *testing.T) {
	t.Parallel()
	s, api := start(t)
	job := submit(t, api, request("sim?tokens=80&tps=1000&stall=40", "hi 😀"))
	events := listen(t.Context(), api, job)
	spoken := ""
	for e, err := range api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
		if spoken += streamed([]completion.Event{e}, "content"); spoken != "" {
			break
		}
	}
	viewer := watch(t, s.WebSocketURL(), job)
	past := untilReady(t, viewer)
	require.NotEmpty(t, past, "it came in the middle of the answer")
	_, err := api.Cancel(t.Context(), job.ID)
	require.NoError(t, err)
	events.requireSame(t, append(past, rest(t, viewer)...))
}

func TestViewer_I3_After(t *testing.T) {
	t.Parallel()
	s, api := start(t)
	job := submit(t, api, request("sim?tokens=80&tps=0&cut=20&times=1&key=after", "hi 😀"))
	events := listen(t.Context(), api, job)
	<-events.done
	events.requireSame(t, rest(t, watch(t, s.WebSocketURL(), job)))
	require.Equal(t, 2, events.events[len(events.events)-1].Attempt, "the past holds a failed attempt too")
}

func TestViewer_I3_ConnectionCut(t *testing.T) {
	t.Parallel()
	s, api := start(t, "--interactive-slots=1")
	proxy := startProxy(t, strings.TrimPrefix(s.WebSocketURL(), "ws://"))
	release := hold(t, api)
	job := submit(t, api, request("sim?tokens=300&tps=200", "hi 😀"))
	events := listen(t.Context(), api, job)
	viewer := watch(t, proxy.url, job)
	require.Empty(t, untilReady(t, viewer))
	release()
	events.requireSame(t, rest(t, viewer))
	require.EqualValues(t, proxyCuts, proxy.cuts.Load(), "the connections were cut")
}

const (
	proxyCuts  = 3       // so many connections are cut
	proxyBytes = 4 << 10 // each after so many bytes for the viewer, wherever in a message that is
)

// proxy carries WebSocket connections and cuts the first of them.
type proxy struct {
	url  string
	cuts atomic.Int32
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{url: "ws://" + l.Addr().String()}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close() // ends accept
		running.Wait()
	})
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			running.Go(func() { p.carry(in, out) })
		}
	})
	return p
}

// carry copies both ways until either side ends or the connection is cut.
func (p *proxy) carry(viewer, server net.Conn) {
	hangUp := func() { _, _ = viewer.Close(), server.Close() } // frees both copies; there is nobody to tell
	var asking sync.WaitGroup
	asking.Go(func() {
		defer hangUp()
		_, _ = io.Copy(server, viewer)
	})
	if p.cuts.Load() < proxyCuts {
		if n, _ := io.CopyN(viewer, server, proxyBytes); n == proxyBytes {
			p.cuts.Add(1)
		}
	} else {
		_, _ = io.Copy(viewer, server)
	}
	hangUp()
	asking.Wait()
}
