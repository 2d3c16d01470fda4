package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// until sets a deadline.
func until(at time.Time) func(*completion.Job) {
	return func(j *completion.Job) { j.Deadline = at }
}

func expireLate(t *testing.T, s *store.Store) {
	at := now()
	add(t, s)
	add(t, s, until(at.Add(time.Minute)))
	claim(t, s, add(t, s, until(at.Add(time.Minute))), "w1")
	late := []completion.Job{add(t, s, until(at)), add(t, s, until(at.Add(-time.Second))), add(t, s, until(at.Add(-time.Minute)))}
	some, err := s.Expire(t.Context(), at, 2)
	require.NoError(t, err)
	require.Len(t, some, 2)
	rest, err := s.Expire(t.Context(), at, 2)
	require.NoError(t, err)
	require.ElementsMatch(t, ids(late), ids(append(some, rest...)))
	for _, job := range append(some, rest...) {
		require.Equal(t, completion.Expired, job.State)
		require.Equal(t, completion.CodeExpired, job.Error.Code)
		require.Equal(t, at, job.FinishedAt)
		require.Zero(t, job.Attempt)
		require.Equal(t, job, get(t, s, job))
	}
	none, err := s.Expire(t.Context(), at, 2)
	require.NoError(t, err)
	require.Empty(t, none)
}

// expireAtOnce: any number of processes expire jobs at the same time, each job once.
func expireAtOnce(t *testing.T, s *store.Store) {
	at := now()
	for range 60 {
		add(t, s, until(at))
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				ended, err := s.Expire(t.Context(), at, 7)
				if err != nil {
					t.Errorf("expire: %v", err)
				}
				if len(ended) == 0 {
					return
				}
				mu.Lock()
				for _, job := range ended {
					seen[job.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 60)
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
}

func expireClaim(t *testing.T, s *store.Store) {
	at := now()
	late := add(t, s, until(at))
	job, err := s.Claim(t.Context(), late.Ref(), "w1", at)
	require.ErrorIs(t, err, completion.ErrFinal, "it waited too long, and costs no attempt")
	require.Equal(t, completion.Expired, job.State)
	require.Zero(t, job.Attempt)
	running := claim(t, s, add(t, s, until(at.Add(time.Minute))), "w1")
	got, err := s.Claim(t.Context(), running.Ref(), "w2", at.Add(2*time.Minute))
	require.NoError(t, err, "what ran is ended by whoever takes it over, with what it has")
	require.True(t, got.Overdue(at.Add(2*time.Minute)))
}

// expireAgainstClaim: a job is either taken or ended.
func expireAgainstClaim(t *testing.T, s *store.Store) {
	require.NoError(t, s.Beat(t.Context(), "w1", nil, now()))
	for range 20 {
		at := now()
		job := add(t, s, until(at))
		var ended []completion.Job
		var expireErr, claimErr error
		var wg sync.WaitGroup
		wg.Go(func() { ended, expireErr = s.Expire(t.Context(), at, 10) })
		wg.Go(func() { _, claimErr = s.Claim(t.Context(), job.Ref(), "w1", at.Add(-time.Microsecond)) })
		wg.Wait()
		require.NoError(t, expireErr)
		if claimErr == nil {
			require.Empty(t, ended)
			require.Equal(t, completion.Running, get(t, s, job).State)
			continue
		}
		require.ErrorIs(t, claimErr, completion.ErrFinal)
		require.Len(t, ended, 1)
		require.Equal(t, completion.Expired, get(t, s, job).State)
	}
}

// addRetryOf: a job is tried again by one other job, however many ask.
func addRetryOf(t *testing.T, s *store.Store) {
	old := add(t, s)
	retry := func(j *completion.Job) { j.RetryOf = old.ID }
	first := add(t, s, retry)
	require.Equal(t, old.ID, first.RetryOf)
	again := first
	again.ID = completion.NewJobID()
	got, created, err := s.Add(t.Context(), &again)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first.ID, got.ID)
	again.IdempotencyKey = "k"
	_, _, err = s.Add(t.Context(), &again)
	require.Error(t, err)
	other := add(t, s, retry, func(j *completion.Job) { j.Tenant = "other" })
	require.NotEqual(t, first.ID, other.ID)
}
