package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

// outside is a log that is written as by a worker and read as by a program outside.
type outside struct {
	completion.Log
	nc *nats.Conn
}

func (o outside) Follow(ctx context.Context, ref completion.Ref, after int64) iter.Seq2[completion.Record, error] {
	return eventlog.View(ctx, o.nc, ref, after)
}

// strangers is outside for jobs of any tenant: each reading connects with what opens its job and nothing else.
type strangers struct {
	completion.Log
	connect func(ref completion.Ref) (*nats.Conn, error)
}

func (s strangers) Follow(ctx context.Context, ref completion.Ref, after int64) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		nc, err := s.connect(ref)
		if err != nil {
			yield(completion.Record{}, err)
			return
		}
		defer nc.Close()
		eventlog.View(ctx, nc, ref, after)(yield)
	}
}

func TestView_Contract(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, eventlog.Options{})
	serve(t, log)
	for name, url := range map[string]string{"TCP": n.ClientURL(), "WebSocket": n.WebSocketURL()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eventlogtest.Run(t, func(t *testing.T) completion.Log {
				return strangers{log, func(ref completion.Ref) (*nats.Conn, error) {
					if !completion.ValidToken(ref.Tenant) || !completion.ValidToken(ref.Job) {
						ref = acme // no credential opens it
					}
					return dial(url, testkit.Viewer(t, n, ref))
				}}
			})
		})
	}
}

func TestView_LongLogComesInPages(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, eventlog.Options{})
	serve(t, log)
	ref := eventlogtest.Job()
	tail := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, tail, eventlogtest.Started(1))
	for range 15 {
		eventlogtest.Write(t, tail, eventlogtest.Delta(1, strings.Repeat("x", 150<<10)))
	}
	eventlogtest.Write(t, tail, eventlogtest.Completed(1))
	got, err := eventlogtest.Collect(eventlog.View(t.Context(), connect(t, n.ClientURL(), testkit.Viewer(t, n, acme)), ref, 0))
	require.NoError(t, err)
	require.Len(t, got, 17)
}

// Nobody serves replays when the viewer comes; it waits.
func TestView_WaitsForServeReplay(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	all := eventlogtest.Whole(t, log, ref, 3)
	asked := make(chan struct{})
	viewer := connect(t, n.ClientURL(), testkit.Viewer(t, n, acme))
	done := make(chan error, 1)
	go func() {
		close(asked)
		got, err := eventlogtest.Collect(eventlog.View(t.Context(), viewer, ref, 0))
		if err == nil && len(got) != len(all) {
			err = errors.New("not all events came")
		}
		done <- err
	}()
	<-asked
	serve(t, log)
	require.NoError(t, <-done)
}

func TestServeReplay_RefusesBadQuestions(t *testing.T) {
	t.Parallel()
	n, _, log := setup(t, eventlog.Options{})
	serve(t, log)
	nc, err := n.Connect(nats.CustomInboxPrefix("rp.acme.job_1")) // a viewer's own connection refuses the largest of them
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	for _, q := range []string{"", "x", "{}", "[]", `{"from":0}`, `{"from":-1}`, `{"from":"1"}`, `{"from":1.5}`, `{"from":1,"x":"` + strings.Repeat("x", 2000) + `"}`} {
		var answer struct{ Error *completion.Error }
		for answer.Error == nil {
			m, err := nc.RequestWithContext(t.Context(), "replay.acme.job_1", []byte(q))
			if errors.Is(err, nats.ErrNoResponders) { // not serving yet
				continue
			}
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(m.Data, &answer), string(m.Data))
		}
		require.Equal(t, completion.CodeInvalidRequest, answer.Error.Code, q)
		require.False(t, answer.Error.Retryable)
	}
}

// A viewer cannot make the responder publish to a subject that it may not publish to itself.
func TestServeReplay_I8_DropsForeignReplies(t *testing.T) {
	t.Parallel()
	n, nc, log := setup(t, eventlog.Options{})
	ref := completion.Ref{Tenant: "acme", Job: "job_1"}
	all := eventlogtest.Whole(t, log, ref, 3)
	stop := serve(t, log)
	ask := connect(t, n.ClientURL(), testkit.Viewer(t, n, acme), nats.CustomInboxPrefix("rp.acme.job_1"))
	for { // until it serves
		if _, err := ask.RequestWithContext(t.Context(), "replay.acme.job_1", []byte(`{"from":1}`)); err == nil {
			break
		}
	}
	spy, err := testkit.Conn(t, n).SubscribeSync(">")
	require.NoError(t, err)
	require.NoError(t, spy.SetPendingLimits(-1, -1))
	attacker := connect(t, n.ClientURL(), testkit.Viewer(t, n, acme))
	require.NoError(t, nc.Flush())
	foreign := []string{"in.1.acme.job_1", "in.1.acme.job_2", "completions.acme.job_2", "rp.acme.job_2.x.1", "rp.other.job_1.x.1", "_INBOX.x", "wake.batch", "cancel.acme.job_1", "$JS.API.STREAM.DELETE.C1", "replay.acme.job_1"}
	for _, reply := range foreign {
		require.NoError(t, attacker.PublishRequest("replay.acme.job_1", reply, []byte(`{"from":1}`)))
	}
	require.NoError(t, attacker.Flush()) // the server has them
	require.NoError(t, nc.Flush())       // and so has the responder
	stop()                               // it answers what it has
	require.NoError(t, nc.Flush())
	for {
		m, err := spy.NextMsg(100 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		require.NoError(t, err)
		require.NotContains(t, string(m.Data), `"events"`, "published to %s", m.Subject)
	}
	got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	eventlogtest.Same(t, all, got)
}
