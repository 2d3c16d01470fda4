package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func cancelQueued(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: completion.Outcome{Result: []byte(`{"p":1}`), Usage: []byte(`{"u":1}`), At: now()}}))
	at := now()
	got, _, err := s.Cancel(t.Context(), job.Ref(), at)
	require.NoError(t, err)
	require.Equal(t, completion.Cancelled, got.State)
	require.Equal(t, at, got.FinishedAt)
	require.Equal(t, completion.CodeCancelled, got.Error.Code)
	require.JSONEq(t, `{"p":1}`, string(got.Result), "the partial text is kept")
	require.JSONEq(t, `{"u":1}`, string(got.Usage))
	_, err = s.Claim(t.Context(), job.Ref(), "w2", now())
	require.ErrorIs(t, err, completion.ErrFinal)
}

func cancelRunning(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	claim(t, s, add(t, s), "w1")
	got, _, err := s.Cancel(t.Context(), job.Ref(), now())
	require.NoError(t, err)
	require.Equal(t, completion.Running, got.State)
	require.True(t, got.CancelRequested)
	require.Nil(t, got.Error)
	refs, err := s.CancelRequests(t.Context(), "w1")
	require.NoError(t, err)
	require.Equal(t, []completion.Ref{job.Ref()}, refs)
	refs, err = s.CancelRequests(t.Context(), "w2")
	require.NoError(t, err)
	require.Empty(t, refs)
	_, err = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Cancelled))
	require.NoError(t, err)
}

// cancelDeadWorker leaves the end to the caller, who knows where to find what the dead worker had said.
func cancelDeadWorker(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	_, held, err := s.Cancel(t.Context(), job.Ref(), now())
	require.NoError(t, err)
	require.True(t, held)
	got, held, err := s.Cancel(t.Context(), job.Ref(), now().Add(time.Minute))
	require.NoError(t, err)
	require.False(t, held, "nobody is there to end it")
	require.Equal(t, completion.Running, got.State)
	_, err = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Cancelled))
	require.NoError(t, err)
	_, err = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed))
	require.ErrorIs(t, err, completion.ErrFinal)
}

func cancelFinal(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	done, err := s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed))
	require.NoError(t, err)
	got, _, err := s.Cancel(t.Context(), job.Ref(), now())
	require.NoError(t, err)
	require.Equal(t, done, got)
}

func cancelAgainstFinish(t *testing.T, s *store.Store) {
	for range 20 {
		job := claim(t, s, add(t, s), "w1")
		var cancelled, finished completion.Job
		var cancelErr, finishErr error
		var wg sync.WaitGroup
		wg.Go(func() { cancelled, _, cancelErr = s.Cancel(t.Context(), job.Ref(), now()) })
		wg.Go(func() { finished, finishErr = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed)) })
		wg.Wait()
		require.NoError(t, cancelErr)
		require.NoError(t, finishErr)
		require.Equal(t, completion.Completed, finished.State)
		require.Contains(t, []completion.State{completion.Running, completion.Completed}, cancelled.State)
	}
}

// cancelAgainstRetry: either the attempt is told to end as cancelled, or the job is cancelled in the queue.
func cancelAgainstRetry(t *testing.T, s *store.Store) {
	for range 20 {
		job := claim(t, s, add(t, s), "w1")
		var cancelled completion.Job
		var cancelErr, retryErr error
		var wg sync.WaitGroup
		wg.Go(func() { cancelled, _, cancelErr = s.Cancel(t.Context(), job.Ref(), now()) })
		wg.Go(func() {
			retryErr = s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: outcome(completion.Queued), Counted: true})
		})
		wg.Wait()
		require.NoError(t, cancelErr)
		stored := get(t, s, job)
		switch {
		case errors.Is(retryErr, completion.ErrCancelled):
			require.Equal(t, completion.Running, cancelled.State)
			require.True(t, stored.CancelRequested)
		case retryErr == nil:
			require.Equal(t, completion.Cancelled, cancelled.State)
			require.Equal(t, cancelled, stored)
		default:
			require.NoError(t, retryErr)
		}
	}
}

// cancelAgainstClaim: either the claim finds the job ended, or the worker that has it is asked to end it.
func cancelAgainstClaim(t *testing.T, s *store.Store) {
	require.NoError(t, s.Beat(t.Context(), "w1", nil, now()))
	for range 20 {
		job := add(t, s)
		var cancelled completion.Job
		var cancelErr, claimErr error
		var wg sync.WaitGroup
		wg.Go(func() { cancelled, _, cancelErr = s.Cancel(t.Context(), job.Ref(), now()) })
		wg.Go(func() { _, claimErr = s.Claim(t.Context(), job.Ref(), "w1", now()) })
		wg.Wait()
		require.NoError(t, cancelErr)
		if claimErr != nil {
			require.ErrorIs(t, claimErr, completion.ErrFinal)
			require.Equal(t, completion.Cancelled, cancelled.State)
			continue
		}
		require.Equal(t, completion.Running, cancelled.State)
		require.True(t, get(t, s, job).CancelRequested)
	}
}
