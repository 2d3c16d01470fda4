package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
	"sluice/shared/testkit"
)

// shelf is a store of one job.
type shelf struct {
	job atomic.Pointer[completion.Job]
}

func (s *shelf) get(_ context.Context, ref completion.Ref) (eventlog.Ending, error) {
	switch j := s.job.Load(); {
	case j == nil:
		return eventlog.Ending{}, errors.New("the store is down")
	case j.Ref() != ref:
		return eventlog.Ending{}, completion.ErrNotFound
	default:
		return eventlog.JobEnding(*j), nil
	}
}

func finished(ref completion.Ref, ago time.Duration) completion.Job {
	return completion.Job{
		ID: ref.Job, Tenant: ref.Tenant, State: completion.Completed, Attempt: 1, FinishReason: "stop",
		Result: json.RawMessage(`{"id":"stored"}`), FinishedAt: time.Now().Add(-ago),
	}
}

// The worker died between storing the result and appending the final event.
func TestLog_Follow_I3_SealsWhatTheWorkerLeftOpen(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"long ago": time.Hour, "just now": 0, "by a clock that is ahead": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s shelf
			n, nc, log := setup(t, eventlog.Options{Fallback: s.get})
			serve(t, log)
			ref := eventlogtest.Job()
			job := finished(ref, age)
			s.job.Store(&job)
			eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1), eventlogtest.Delta(1, "a"))
			got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
			require.NoError(t, err)
			require.Len(t, got, 3)
			require.Equal(t, int64(3), got[2].Seq)
			require.Contains(t, string(got[2].Data), `"result":{"id":"stored"}`)
			stored, err := eventlogtest.Collect(open(t, nc, eventlog.Options{}).Follow(t.Context(), ref, 0))
			require.NoError(t, err)
			eventlogtest.Same(t, got, stored)
			viewed, err := eventlogtest.Collect(eventlog.View(t.Context(), connect(t, n.ClientURL(), testkit.Viewer(t, n, acme)), ref, 0))
			require.NoError(t, err)
			eventlogtest.Same(t, got, viewed)
		})
	}
}

// The job ends while its viewer waits, and the final event never comes.
func TestLog_Follow_I3_LooksAtTheStoreInSilence(t *testing.T) {
	t.Parallel()
	var s shelf
	_, _, log := setup(t, eventlog.Options{Fallback: s.get, Silence: 5 * time.Millisecond})
	ref := eventlogtest.Job()
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1))
	n := 0
	for r, err := range log.Follow(t.Context(), ref, 0) {
		require.NoError(t, err)
		if n++; n == 1 {
			job := finished(ref, time.Hour)
			s.job.Store(&job)
			continue
		}
		require.Equal(t, completion.EventCompleted, r.Type)
	}
	require.Equal(t, 2, n)
}

func TestLog_Follow_I3_ExpiredLog(t *testing.T) {
	t.Parallel()
	var s shelf
	n, _, log := setup(t, eventlog.Options{Fallback: s.get})
	serve(t, log)
	ref := eventlogtest.Job()
	job := finished(ref, time.Hour)
	s.job.Store(&job)
	outside := connect(t, n.ClientURL(), testkit.Viewer(t, n, acme))
	for _, after := range []int64{0, 41} {
		got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, after))
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, after+1, got[0].Seq)
		require.Equal(t, completion.EventCompleted, got[0].Type)
		viewed, err := eventlogtest.Collect(eventlog.View(t.Context(), outside, ref, after))
		require.NoError(t, err)
		eventlogtest.Same(t, got, viewed)
	}
	require.Zero(t, eventlogtest.Open(t, log, ref).Last().Seq, "an expired log stays empty")
}

func TestLog_Seal(t *testing.T) {
	t.Parallel()
	_, _, log := setup(t, eventlog.Options{})
	ref := eventlogtest.Job()
	job := finished(ref, 0)
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1))
	done := make(chan error, 16)
	for range cap(done) {
		go func() { done <- log.Seal(t.Context(), job) }()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
	got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Len(t, got, 2)

	job.State = completion.Running
	require.ErrorContains(t, log.Seal(t.Context(), job), "running")
}

// A line of a batch says nothing in its own log: who follows it all the same gets its end from the store, and nobody begins
// the log.
func TestLog_Follow_QuietLine(t *testing.T) {
	t.Parallel()
	var s shelf
	_, _, log := setup(t, eventlog.Options{Fallback: s.get})
	job := finished(eventlogtest.Job(), time.Hour)
	job.Batch, job.Unsaid = completion.NewBatchID(), true
	s.job.Store(&job)
	require.NoError(t, log.Seal(t.Context(), job))
	stored, err := eventlogtest.Collect(log.Read(t.Context(), job.Ref()))
	require.NoError(t, err)
	require.Empty(t, stored)
	got, err := eventlogtest.Collect(log.Follow(t.Context(), job.Ref(), 0))
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Contains(t, string(got[0].Data), `"result":{"id":"stored"}`)
}

// What neither the store nor the log has any more, or ever had, ends a reader at once, whoever reads.
func TestLog_Follow_I3_Pruned(t *testing.T) {
	t.Parallel()
	var s shelf
	n, _, log := setup(t, eventlog.Options{Fallback: s.get, Silence: 5 * time.Millisecond})
	serve(t, log)
	ref := eventlogtest.Job()
	other := finished(eventlogtest.Job(), 0)
	s.job.Store(&other)
	got, err := eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.ErrorIs(t, err, completion.ErrNotFound)
	require.Empty(t, got)
	got, err = eventlogtest.Collect(eventlog.View(t.Context(), connect(t, n.ClientURL(), testkit.Viewer(t, n, acme)), ref, 0))
	require.Equal(t, completion.CodeNotFound, completion.AsError(err).Code)
	require.Empty(t, got)
	// What the log still has is shown to its end.
	eventlogtest.Write(t, eventlogtest.Open(t, log, ref), eventlogtest.Started(1), eventlogtest.Delta(1, "a"), eventlogtest.Completed(1))
	got, err = eventlogtest.Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Len(t, got, 3)
}
