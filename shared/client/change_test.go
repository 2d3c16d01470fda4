package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/bell"
	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/testkit"
)

func change(version int) string {
	return fmt.Sprintf("event: changed\ndata: {\"type\":\"changed\",\"version\":%d}\n\n", version)
}

func TestFollowConversation_ResumesAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			fmt.Fprint(w, ": keep-alive\n\n", change(3), "event: other\ndata: {\"version\":9}\n\n", change(4), "event: reconnect\ndata: {}\n\n")
		case 2:
			http.Error(w, "bad gateway", http.StatusBadGateway)
		case 3:
			fmt.Fprint(w, change(4), change(6), "event: changed\ndata: {\"version\":")
		case 4:
			fmt.Fprint(w, change(6), "event: changed\ndata: {\n\n")
		case 5:
			fmt.Fprint(w, change(2), change(7))
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"message":"No such conversation.","code":"not_found"}}`)
		}
	})
	var versions []int64
	var last error
	for v, err := range c.FollowConversation(t.Context(), "conv_1", 3) {
		if last = err; err == nil {
			versions = append(versions, v)
		}
	}
	require.Equal(t, []int64{4, 6, 7}, versions, "each once, and only those that are new")
	require.EqualError(t, last, "No such conversation. [404 not_found]")
}

func TestFollowConversation_CallerLeaves(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, change(1))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for v, err := range c.FollowConversation(t.Context(), "conv_1", 0) {
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range c.FollowConversation(ctx, "conv_1", 0) {
		if err == nil {
			cancel()
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
	}
}

// world is an API with one conversation, and the NATS that its change notes are on.
type world struct {
	ref     completion.Ref
	nats    *embedded.NATS
	url     string
	version atomic.Int64
	gone    atomic.Bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	n := testkit.NATS(t)
	return &world{ref: completion.Ref{Tenant: "acme", Job: completion.NewConversationID()}, nats: n, url: n.ClientURL()}
}

func (w *world) client(t *testing.T) *Client {
	t.Helper()
	m := testkit.Minter(t, w.nats.Authority())
	return serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if w.gone.Load() {
			rw.WriteHeader(http.StatusNotFound)
			return
		}
		if r.Method == http.MethodGet {
			fmt.Fprintf(rw, `{"id":%q,"version":%d}`, w.ref.Job, w.version.Load())
			return
		}
		c, err := m.Stream(w.ref, time.Now().Add(time.Hour))
		if err != nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"subject": w.ref.Subject(), "nats_url": w.url, "credential": c.Token})
	})
}

// proxy lets viewers connect through it; cut closes their connections, and new ones are served.
func (w *world) proxy(t *testing.T) (cut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := strings.TrimPrefix(w.url, "nats://")
	w.url = "nats://" + l.Addr().String()
	accepted := make(chan net.Conn, 16)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				in.Close()
				continue
			}
			all.Go(func() { io.Copy(out, in); out.Close() })
			all.Go(func() { io.Copy(in, out); in.Close() })
			accepted <- in
		}
	})
	cut = func() { (<-accepted).Close() }
	t.Cleanup(func() {
		l.Close()
		for len(accepted) > 0 {
			cut()
		}
		all.Wait()
	})
	return cut
}

func TestViewConversation_TellsOfEachChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := bell.New(testkit.Conn(t, w.nats))
	w.version.Store(3)
	var versions []int64
	for v, err := range w.client(t).ViewConversation(t.Context(), w.ref.Job, 2) {
		require.NoError(t, err)
		versions = append(versions, v)
		if v == 5 {
			break
		}
		w.version.Store(v + 1)
		b.Changed(w.ref, v)
		b.Changed(w.ref, v+1)
	}
	require.Equal(t, []int64{3, 4, 5}, versions, "the present one first, then each once")
}

// TestViewConversation_LooksAfterItHasConnectedAgain: what changed while the connection was down was told to nobody.
func TestViewConversation_LooksAfterItHasConnectedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cut := w.proxy(t)
	w.version.Store(1)
	var versions []int64
	for v, err := range w.client(t).ViewConversation(t.Context(), w.ref.Job, 0) {
		require.NoError(t, err)
		if versions = append(versions, v); v == 2 {
			break
		}
		w.version.Store(2)
		cut()
	}
	require.Equal(t, []int64{1, 2}, versions)
}

func TestViewConversation_EndsWithTheConversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.version.Store(1)
	cut := w.proxy(t)
	c := w.client(t)
	var last error
	for _, err := range c.ViewConversation(t.Context(), w.ref.Job, 0) {
		if last = err; err == nil {
			w.gone.Store(true)
			cut()
		}
	}
	require.EqualError(t, last, "the server answered 404 Not Found [404 ]")
	for _, err := range c.ViewConversation(t.Context(), w.ref.Job, 0) {
		require.EqualError(t, err, "the server answered 404 Not Found [404 ]", "no credential, no changes")
	}
}
