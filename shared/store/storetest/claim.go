package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func claimNext(t *testing.T, s *store.Store) {
	job := add(t, s, func(j *completion.Job) { j.Request = []byte(`{"x":1}`) })
	at := now()
	got, err := s.Claim(t.Context(), job.Ref(), "w1", at)
	require.NoError(t, err)
	require.Equal(t, completion.Running, got.State)
	require.Equal(t, 1, got.Attempt)
	require.Equal(t, "w1", got.Worker)
	require.Equal(t, at, got.StartedAt)
	require.JSONEq(t, `{"x":1}`, string(got.Request), "the claim brings the request")
	again, err := s.Claim(t.Context(), job.Ref(), "w1", at.Add(time.Second))
	require.NoError(t, err, "its own worker may claim it again")
	require.Equal(t, 2, again.Attempt)
	require.Equal(t, at, again.StartedAt, "the first claim's time stays")
	require.Equal(t, again, get(t, s, job))
}

// claimOneWins: of 32 claims at once one gets the attempt, when the job is queued and when its worker has died.
func claimOneWins(t *testing.T, s *store.Store) {
	job := add(t, s)
	var workers []string
	for i := range 32 {
		workers = append(workers, fmt.Sprint("w", i))
		require.NoError(t, s.Beat(t.Context(), workers[i], nil, now()))
	}
	for attempt := range 3 {
		var won atomic.Int32
		var wg sync.WaitGroup
		for _, worker := range workers {
			wg.Go(func() {
				_, err := s.Claim(t.Context(), job.Ref(), worker, now())
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, completion.ErrHeld):
					t.Errorf("claim: %v", err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, won.Load())
		stored := get(t, s, job)
		require.Equal(t, attempt+1, stored.Attempt)
		require.NoError(t, s.Leave(t.Context(), stored.Worker))
		workers = slices.DeleteFunc(workers, func(w string) bool { return w == stored.Worker })
	}
}

func claimHeld(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	_, err := s.Claim(t.Context(), job.Ref(), "w2", now())
	require.ErrorIs(t, err, completion.ErrHeld)
	require.Equal(t, "w1", get(t, s, job).Worker)
}

func claimDeadWorker(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	got, err := s.Claim(t.Context(), job.Ref(), "w2", now().Add(time.Minute))
	require.NoError(t, err, "w1 has not been seen for a minute")
	require.Equal(t, 2, got.Attempt)
	require.NoError(t, s.Beat(t.Context(), "w2", nil, now().Add(time.Minute)))
	require.NoError(t, s.Leave(t.Context(), "w2"))
	got, err = s.Claim(t.Context(), job.Ref(), "w3", now())
	require.NoError(t, err, "w2 has left")
	require.Equal(t, 3, got.Attempt)
}

func claimFinal(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	_, err := s.Finish(t.Context(), job.Ref(), 1, completion.Outcome{State: completion.Completed, Result: []byte(`{}`), At: now()})
	require.NoError(t, err)
	got, err := s.Claim(t.Context(), job.Ref(), "w2", now())
	require.ErrorIs(t, err, completion.ErrFinal)
	require.Equal(t, completion.Completed, got.State)
	require.NotEmpty(t, got.Result, "the job comes with it, so that its log can be closed")
	require.Equal(t, 1, got.Attempt)
}

func workerLeave(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	require.NoError(t, s.Beat(t.Context(), "w1", nil, now()), "a beat may be repeated")
	require.NoError(t, s.Leave(t.Context(), "w2"))
	_, err := s.Claim(t.Context(), job.Ref(), "w3", now())
	require.ErrorIs(t, err, completion.ErrHeld, "w1 is still there")
	require.NoError(t, s.Leave(t.Context(), "w1"))
	_, err = s.Claim(t.Context(), job.Ref(), "w3", now())
	require.NoError(t, err)
	require.NoError(t, s.Beat(t.Context(), "w3", nil, now()))
	require.NoError(t, s.Alone(t.Context()))
	_, err = s.Claim(t.Context(), job.Ref(), "w4", now())
	require.NoError(t, err, "nobody else is there")
	require.NoError(t, s.Ping(t.Context()))
}
