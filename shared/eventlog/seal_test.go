package eventlog_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
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
		"TCP":       func(t *testing.T) eventlogtest.Sealer { return logOn(t, n.InternalURL()) },
		"Viewed": func(t *testing.T) eventlogtest.Sealer {
			return viewed{outside{inside, connect(t, n.WebSocketURL())}, inside}
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
		open(t, connect(t, n.InternalURL()), eventlog.Options{Fallback: s.get}), log,
		outside{log, connect(t, n.ClientURL())},
		outside{log, connect(t, n.WebSocketURL())},
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
