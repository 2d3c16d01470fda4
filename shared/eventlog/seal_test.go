package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

// viewed is a log that is closed as by an api and read as by a program outside.
type viewed struct {
	outside
	log *eventlog.Log
}

func (v viewed) Seal(ctx context.Context, job completion.Job) error { return v.log.Seal(ctx, job) }

func TestLog_Seal_Contract(t *testing.T) {
	t.Parallel()
	n, _, inside := setup(t, eventlog.Options{})
	serve(t, inside)
	for name, open := range map[string]func(t *testing.T) eventlogtest.Sealer{
		"InProcess": func(*testing.T) eventlogtest.Sealer { return inside },
		"TCP":       func(t *testing.T) eventlogtest.Sealer { return logOn(t, n) },
		"Viewed": func(t *testing.T) eventlogtest.Sealer {
			return viewed{outside{inside, connect(t, n.WebSocketURL(), testkit.Viewer(t, n, acme))}, inside}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eventlogtest.RunSeal(t, open)
		})
	}
}

// Whoever waits for another sealer stops when it is told to.
func TestLog_Seal_EndedContext(t *testing.T) {
	t.Parallel()
	_, _, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1))
	cause := errors.New("hung up")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	require.ErrorIs(t, log.Seal(ctx, eventlogtest.Ended(ref, completion.Completed, eventlogtest.Answered("x"))), cause)
}

// Viewers and processes find an unfinished log at the same time, and all of them close it.
func TestLog_Follow_I4_ViewersCloseTheLog(t *testing.T) {
	t.Parallel()
	var s shelf
	n, _, log := setup(t, eventlog.Options{Fallback: s.get})
	serve(t, log)
	ref := eventlogtest.Job()
	job := eventlogtest.Ended(ref, completion.Cancelled, eventlogtest.Answered("the whole answer"))
	job.FinishedAt = job.FinishedAt.Add(-1e9) // the worker's time to close it is over
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1), eventlogtest.Delta(1, "the wh"))
	s.job.Store(&job)
	logs := []completion.Log{
		open(t, connect(t, n.ClientURL(), testkit.As(t, n, credential.API)), eventlog.Options{Fallback: s.get}), log,
		outside{log, connect(t, n.ClientURL(), testkit.Viewer(t, n, acme))},
		outside{log, connect(t, n.WebSocketURL(), testkit.Viewer(t, n, acme))},
	}
	done := make(chan []completion.Record, len(logs))
	for _, l := range logs {
		go func() {
			got, _ := eventlogtest.Collect(l.Follow(t.Context(), ref, 0))
			done <- got
		}()
	}
	want := eventlogtest.SaysAll(t, log, job)
	for range logs {
		eventlogtest.Same(t, want, <-done)
	}
}

// The log is lost with its server's data, and begun anew by whoever closes it: viewers who have seen more events than it
// has by then are told to start over, and the worker that comes back is refused.
func TestLog_Seal_I4_LogWasLost(t *testing.T) {
	t.Parallel()
	n, nc, log := setup(t, eventlog.Options{})
	serve(t, log)
	ref := eventlogtest.Job()
	live := begin(t.Context(), readers(t, n, eventlog.Options{}), ref, 0)
	worker := eventlogtest.Open(t, log, ref)
	eventlogtest.Write(t, worker, eventlogtest.Started(1), eventlogtest.Delta(1, "x"), eventlogtest.Delta(1, "x"))
	for _, r := range live {
		r.saw(t, 3)
	}
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for k := range eventlog.Shards {
		require.NoError(t, js.DeleteStream(t.Context(), fmt.Sprintf("C%d", k)))
	}
	require.NoError(t, log.Setup(t.Context()))
	text := strings.Repeat("x", 600_000)
	job := eventlogtest.Ended(ref, completion.Completed, eventlogtest.Answered(text))
	job.CreatedAt = time.Now().Add(-time.Second)
	require.NoError(t, log.Seal(t.Context(), job))
	require.ErrorIs(t, worker.Append(t.Context(), eventlogtest.Delta(1, "zombie")), completion.ErrFinal)
	for _, r := range append(live, begin(t.Context(), readers(t, n, eventlog.Options{}), ref, 0)...) {
		same := text == spoken(r.end())
		require.True(t, same, "%s; too long to show", r.name)
	}
	eventlogtest.SaysAll(t, log, job)
}
