package eventlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/embedded"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

// acme is the tenant of eventlogtest.Job.
var acme = completion.Ref{Tenant: "acme"}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a busy machine may take to connect. Nothing is measured by it.
const patience = time.Minute

// dial returns a connection that comes back at once and reports nothing.
func dial(url string, opts ...nats.Option) (*nats.Conn, error) {
	quiet := []nats.Option{
		nats.Timeout(patience),
		nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	return nats.Connect(url, append(quiet, opts...)...)
}

// connect is dial for as long as the test.
func connect(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := dial(url, opts...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func open(t testing.TB, nc *nats.Conn, opts eventlog.Options) *eventlog.Log {
	t.Helper()
	log, err := eventlog.New(nc, opts)
	require.NoError(t, err)
	return log
}

// setup starts a server and a log on it.
func setup(t testing.TB, opts eventlog.Options) (*embedded.NATS, *nats.Conn, *eventlog.Log) {
	t.Helper()
	n := testkit.NATS(t)
	nc := testkit.Conn(t, n)
	log := open(t, nc, opts)
	require.NoError(t, log.Setup(t.Context()))
	return n, nc, log
}

// serve runs ServeReplay until the test ends.
func serve(t testing.TB, log *eventlog.Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- log.ServeReplay(ctx) }()
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestLog_Contract(t *testing.T) {
	t.Parallel()
	n, _, inside := setup(t, eventlog.Options{})
	t.Run("InProcess", func(t *testing.T) {
		t.Parallel()
		eventlogtest.Run(t, func(*testing.T) completion.Log { return inside })
	})
	t.Run("TCP", func(t *testing.T) {
		t.Parallel()
		eventlogtest.Run(t, func(t *testing.T) completion.Log {
			return open(t, connect(t, n.ClientURL(), testkit.As(t, n, credential.API)), eventlog.Options{})
		})
	})
}

func TestNew_ReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := eventlog.New(nil, eventlog.Options{MaxAge: -1, MaxBytes: -1, Replicas: 6, Silence: -1})
	for _, name := range []string{"MaxAge", "MaxBytes", "Replicas", "Silence"} {
		require.ErrorContains(t, err, name)
	}
}

func TestLog_Setup(t *testing.T) {
	t.Parallel()
	_, nc, log := setup(t, eventlog.Options{})
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	info := func(name string) jetstream.StreamConfig {
		s, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		return s.CachedInfo().Config
	}
	before := info("C7")
	require.Equal(t, 24*time.Hour, before.MaxAge)
	require.Equal(t, int64(1<<30), before.MaxBytes)
	require.Equal(t, []string{"in.7.*.*"}, before.Subjects)
	require.True(t, before.AllowDirect)
	require.True(t, before.DenyDelete)

	ref := eventlogtest.Job()
	all := eventlogtest.Whole(t, log, ref, 3)
	other := open(t, nc, eventlog.Options{MaxAge: time.Hour, MaxBytes: 1 << 20})
	require.NoError(t, other.Setup(t.Context()))
	after := info("C7")
	require.Equal(t, time.Hour, after.MaxAge)
	require.Equal(t, int64(1<<20), after.MaxBytes)
	require.Equal(t, before.FirstSeq, after.FirstSeq)
	got, err := eventlogtest.Collect(other.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	eventlogtest.Same(t, all, got)
}

func TestLog_Setup_Racing(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	done := make(chan error, 4)
	for range cap(done) {
		log := open(t, testkit.Conn(t, n), eventlog.Options{})
		go func() { done <- log.Setup(t.Context()) }()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
}

func TestLog_Follow_FreesItsSubscription(t *testing.T) {
	t.Parallel()
	_, nc, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	all := eventlogtest.Whole(t, log, ref, 3)
	before := nc.NumSubscriptions()
	for range log.Follow(t.Context(), ref, 0) {
		break
	}
	_, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Equal(t, before, nc.NumSubscriptions())

	f, err := log.Subscribe(t.Context(), ref)
	require.NoError(t, err)
	for range 2 {
		got, err := eventlogtest.Collect(f.Records(t.Context(), 0))
		require.NoError(t, err)
		eventlogtest.Same(t, all, got)
	}
	f.Close()
	require.Equal(t, before, nc.NumSubscriptions())
}

// A log that is taken to be empty is begun without a question; if it is not, nothing is written.
func TestLog_Begin_I5(t *testing.T) {
	t.Parallel()
	_, _, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	tail, err := log.Begin(ref)
	require.NoError(t, err)
	eventlogtest.Write(t, tail, eventlogtest.Started(1), eventlogtest.Delta(1, "a"))
	late, err := log.Begin(ref)
	require.NoError(t, err)
	require.ErrorIs(t, late.Append(t.Context(), eventlogtest.Started(1)), completion.ErrStale)
	eventlogtest.Write(t, tail, eventlogtest.Completed(1))
	late, err = log.Begin(ref)
	require.NoError(t, err)
	require.ErrorIs(t, late.Append(t.Context(), eventlogtest.Started(1)), completion.ErrFinal)
	got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Len(t, got, 3)
	_, err = log.Begin(completion.Ref{Tenant: "a.b", Job: ref.Job})
	require.ErrorIs(t, err, completion.ErrNotFound)
}

// Who listens before the job begins hears all of it, and does not ask the log for what was before.
func TestFeed_Fresh_I3(t *testing.T) {
	t.Parallel()
	_, _, log := setup(t, eventlog.Options{Fallback: func(context.Context, completion.Ref) (eventlog.Ending, error) {
		t.Error("the store was asked")
		return eventlog.Ending{}, completion.ErrNotFound
	}})
	ref := eventlogtest.Job()
	f, err := log.Subscribe(t.Context(), ref)
	require.NoError(t, err)
	defer f.Close()
	all := eventlogtest.Whole(t, log, ref, 500) // more than are kept for a reader: what it misses it reads
	got, err := eventlogtest.Collect(f.Fresh(t.Context()))
	require.NoError(t, err)
	eventlogtest.Same(t, all, got)
}

func TestLog_Follow_ClosedConnection(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1))
	nc := connect(t, n.ClientURL(), testkit.As(t, n, credential.API))
	_, err := eventlogtest.Collect(func(yield func(completion.Record, error) bool) {
		for r, err := range open(t, nc, eventlog.Options{}).Follow(t.Context(), ref, 0) {
			if !yield(r, err) {
				return
			}
			nc.Close()
		}
	})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

// Events that were stored but not republished are found by looking.
func TestLog_Follow_I3_SilenceIsNotTrusted(t *testing.T) {
	t.Parallel()
	_, nc, log := setup(t, eventlog.Options{Silence: 5 * time.Millisecond})
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	ref := eventlogtest.Job()
	seen := make(chan completion.Record, 100)
	failed := make(chan error, 1)
	go func() {
		for r, err := range log.Follow(t.Context(), ref, 0) {
			if err != nil {
				failed <- err
				return
			}
			seen <- r
		}
		failed <- nil
	}()
	tail := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, tail, eventlogtest.Started(1))
	require.Equal(t, int64(1), (<-seen).Seq)
	for k := range eventlog.Shards {
		s, err := js.Stream(t.Context(), "C"+string(rune('0'+k)))
		require.NoError(t, err)
		c := s.CachedInfo().Config
		c.RePublish = nil
		_, err = js.UpdateStream(t.Context(), c)
		require.NoError(t, err)
	}
	eventlogtest.Write(t, tail, eventlogtest.Delta(1, "a"), eventlogtest.Completed(1))
	require.NoError(t, <-failed)
	require.Equal(t, completion.EventDelta, (<-seen).Type)
	require.Equal(t, completion.EventCompleted, (<-seen).Type)
}

func TestLog_Append_TooLarge(t *testing.T) {
	t.Parallel()
	_, _, log := setup(t, eventlog.Options{})
	tail := eventlogtest.Open(t, log, eventlogtest.Job())
	err := tail.Append(t.Context(), eventlogtest.Delta(1, string(make([]byte, eventlog.MaxMessageBytes))))
	require.ErrorContains(t, err, "limit")
	eventlogtest.Write(t, tail, eventlogtest.Started(1))
}

// A job whose oldest events were discarded for size is read from what is left.
func TestLog_Follow_DiscardedHead(t *testing.T) {
	t.Parallel()
	_, _, log := setup(t, eventlog.Options{MaxBytes: 64 << 10})
	ref := eventlogtest.Job()
	all := eventlogtest.Whole(t, log, ref, 600)
	got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Less(t, len(got), len(all))
	eventlogtest.Same(t, all[len(all)-len(got):], got)
}
