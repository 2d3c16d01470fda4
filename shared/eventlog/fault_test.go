package eventlog_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/embedded"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

// server is a nats-server that can be stopped and started again at the same place.
type server struct {
	*embedded.NATS
	cfg embedded.NATSConfig
}

func startServer(t *testing.T) *server {
	s := &server{cfg: embedded.NATSConfig{Addr: "127.0.0.1:0", WebSocketAddr: "127.0.0.1:0", Dir: t.TempDir(), Authority: testkit.Authority(t)}}
	s.NATS = testkit.StartNATS(t, s.cfg)
	s.cfg.Addr = strings.TrimPrefix(s.ClientURL(), "nats://")
	s.cfg.WebSocketAddr = strings.TrimPrefix(s.WebSocketURL(), "ws://")
	return s
}

func (s *server) restart(t *testing.T, wipe bool) {
	s.Close()
	if wipe {
		entries, err := os.ReadDir(s.cfg.Dir)
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, os.RemoveAll(filepath.Join(s.cfg.Dir, e.Name())))
		}
	}
	s.NATS = testkit.StartNATS(t, s.cfg)
}

// logOn is a log on a connection over TCP that may do what an api may.
func logOn(t *testing.T, n *embedded.NATS) *eventlog.Log {
	return open(t, connect(t, n.ClientURL(), testkit.As(t, n, credential.API)), eventlog.Options{})
}

// watch reads the job as a follower inside and as viewers outside.
func watch(t *testing.T, s *server, ref completion.Ref) []chan []completion.Record {
	var all []chan []completion.Record
	inside := logOn(t, s.NATS)
	tcp, ws := connect(t, s.ClientURL(), testkit.Viewer(t, s.NATS, acme)), connect(t, s.WebSocketURL(), testkit.Viewer(t, s.NATS, acme))
	for _, seq := range []func(func(completion.Record, error) bool){
		inside.Follow(t.Context(), ref, 0), eventlog.View(t.Context(), tcp, ref, 0), eventlog.View(t.Context(), ws, ref, 0),
	} {
		done := make(chan []completion.Record, 1)
		go func() {
			defer close(done)
			if got, err := eventlogtest.Collect(seq); err == nil {
				done <- got
			}
		}()
		all = append(all, done)
	}
	return all
}

func TestLog_I3_ServerRestarts(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	log := logOn(t, s.NATS)
	require.NoError(t, log.Ensure(t.Context()))
	serve(t, log)
	ref := eventlogtest.Job()
	viewers := watch(t, s, ref)
	tail := eventlogtest.Open(t, eventlogtest.Offering(log), ref)
	var all []completion.Record
	put := func(e completion.Event) {
		eventlogtest.Write(t, tail, e)
		all = append(all, tail.Last())
	}
	put(eventlogtest.Started(1))
	for i := range 40 {
		if i%20 == 10 {
			s.restart(t, false)
		}
		put(eventlogtest.Delta(1, fmt.Sprint(i)))
	}
	put(eventlogtest.Completed(1))
	for _, v := range viewers {
		eventlogtest.Same(t, all, <-v)
	}
}

// restate appends what a worker does: e, and after a loss everything once more.
func restate(t *testing.T, tail completion.Tail, said []completion.Event) (lost bool) {
	for i := len(said) - 1; i < len(said); i++ {
		err := tail.Append(t.Context(), said[i])
		if err == nil {
			continue
		}
		require.ErrorIs(t, err, completion.ErrLogLost)
		lost, i = true, -1
	}
	return lost
}

func TestLog_I3_ServerLosesItsData(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	log := logOn(t, s.NATS)
	require.NoError(t, log.Ensure(t.Context()))
	serve(t, log) // creates the streams again
	ref := eventlogtest.Job()
	viewers := watch(t, s, ref)
	tail := eventlogtest.Open(t, eventlogtest.Offering(log), ref)
	said := []completion.Event{eventlogtest.Started(1)}
	eventlogtest.Write(t, tail, said[0])
	losses := 0
	for i := range 20 {
		if i == 10 {
			s.restart(t, true)
		}
		said = append(said, eventlogtest.Delta(1, fmt.Sprintf("<%d>", i)))
		if restate(t, tail, said) {
			losses++
		}
	}
	said = append(said, eventlogtest.Completed(1))
	restate(t, tail, said)
	require.Equal(t, 1, losses)
	require.NoError(t, log.Ensure(t.Context()), "the streams are there again, and the server may stop")

	viewers = append(viewers, watch(t, s, ref)...)
	for _, v := range viewers {
		last := int64(0)
		var text strings.Builder
		got := <-v
		for _, r := range got {
			require.Greater(t, r.Seq, last)
			last = r.Seq
			switch r.Type {
			case completion.EventStarted:
				text.Reset()
			case completion.EventDelta:
				text.Write(r.Data)
			}
		}
		require.NotEmpty(t, got)
		require.True(t, got[len(got)-1].Type.Final())
		for i := range 20 {
			require.Equal(t, 1, strings.Count(text.String(), fmt.Sprintf("\\u003c%d\\u003e", i)), "delta %d", i)
		}
	}
}

// The streams vanish under a living server.
func TestLog_StreamsAreDeleted(t *testing.T) {
	t.Parallel()
	_, nc, log := setup(t, eventlog.Options{})
	serve(t, log)
	ref := eventlogtest.Job()
	tail := eventlogtest.Open(t, log, ref)
	zombie := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, tail, eventlogtest.Started(1), eventlogtest.Delta(1, "a"))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for k := range eventlog.Shards {
		require.NoError(t, js.DeleteStream(t.Context(), fmt.Sprintf("C%d", k)))
	}
	require.ErrorIs(t, tail.Append(t.Context(), eventlogtest.Delta(1, "b")), completion.ErrLogLost)
	eventlogtest.Write(t, tail, eventlogtest.Started(1), eventlogtest.Delta(1, "a"), eventlogtest.Delta(1, "b"))
	require.ErrorIs(t, zombie.Append(t.Context(), eventlogtest.Started(1)), completion.ErrStale)
	eventlogtest.Write(t, tail, eventlogtest.Completed(1))
	got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Len(t, got, 4)
	require.Equal(t, int64(3), got[0].Seq)
	require.Equal(t, completion.EventStarted, got[0].Type)
	require.NoError(t, log.Ensure(t.Context()), "the streams are there again, and the server may stop")
}

func TestLog_I5_EarlierWriterStaysFencedAfterLoss(t *testing.T) {
	t.Parallel()
	_, nc, log := setup(t, eventlog.Options{})
	serve(t, log)
	ref := eventlogtest.Job()
	first := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, first, eventlogtest.Started(1), eventlogtest.Delta(1, "a"))
	second := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, second, eventlogtest.Started(2))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for k := range eventlog.Shards {
		require.NoError(t, js.DeleteStream(t.Context(), fmt.Sprintf("C%d", k)))
	}
	require.NoError(t, log.Ensure(t.Context()))
	require.ErrorIs(t, second.Append(t.Context(), eventlogtest.Delta(2, "b")), completion.ErrLogLost)
	eventlogtest.Write(t, second, eventlogtest.Started(2), eventlogtest.Delta(2, "b"))
	require.ErrorIs(t, first.Append(t.Context(), eventlogtest.Delta(1, "zombie")), completion.ErrStale)
	eventlogtest.Write(t, second, eventlogtest.Completed(2))
}

// cutter passes TCP on to a server and cuts the connection after every n-th piece that the client has sent, before the
// answer: whether the server acted on it, the client cannot know.
type cutter struct {
	net.Listener
	target string
	n      int
	mu     sync.Mutex
	pieces int
	wg     sync.WaitGroup
}

func cut(t *testing.T, target string, n int) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{Listener: l, target: target, n: n}
	c.wg.Go(c.accept)
	t.Cleanup(func() { _ = l.Close(); c.wg.Wait() })
	return c
}

func (c *cutter) accept() {
	for {
		client, err := c.Accept()
		if err != nil {
			return
		}
		c.wg.Go(func() { c.pass(client) })
	}
}

func (c *cutter) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	c.wg.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	defer func() { _ = server.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if c.due() {
			_ = client.Close()
			_, _ = server.Write(buf[:n])
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *cutter) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces++
	return c.pieces%c.n == 0
}

func TestLog_I3_UnknownOutcomes(t *testing.T) {
	t.Parallel()
	n, _, direct := setup(t, eventlog.Options{})
	serve(t, direct)
	through := func(url string, every int) string {
		scheme, rest, _ := strings.Cut(url, "://")
		user, host, ok := strings.Cut(rest, "@")
		if !ok {
			user, host = "", rest
		} else {
			user += "@"
		}
		return scheme + "://" + user + cut(t, host, every).Addr().String()
	}
	ref := eventlogtest.Job()
	writer := open(t, connect(t, through(n.ClientURL(), 9), testkit.As(t, n, credential.API)), eventlog.Options{})
	follower := open(t, connect(t, through(n.ClientURL(), 12), testkit.As(t, n, credential.API)), eventlog.Options{})
	outside := connect(t, through(n.ClientURL(), 12), testkit.Viewer(t, n, acme))
	var got [2][]completion.Record
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { got[0], errs[0] = eventlogtest.Collect(follower.Follow(t.Context(), ref, 0)) })
	wg.Go(func() { got[1], errs[1] = eventlogtest.Collect(eventlog.View(t.Context(), outside, ref, 0)) })
	all := eventlogtest.Whole(t, writer, ref, 40)
	wg.Wait()
	stored, err := eventlogtest.Collect(direct.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	eventlogtest.Same(t, all, stored)
	for i := range got {
		require.NoError(t, errs[i])
		eventlogtest.Same(t, all, got[i])
	}
}
