package storetest

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func retryQueues(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	r := completion.Retry{
		Outcome: completion.Outcome{At: now(), Error: completion.NewError(completion.CodeCut, "cut"), Result: []byte(`{"partial":1}`), Upstream: "up", FirstTokenAt: now()},
		RetryAt: now().Add(time.Minute), Counted: true,
	}
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 1, r))
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 1, r), "a repeat after a lost answer")
	got := get(t, s, job)
	require.Equal(t, completion.Queued, got.State)
	require.Equal(t, 1, got.Tries)
	require.Zero(t, got.Returned)
	require.Equal(t, r.RetryAt, got.RetryAt)
	require.Equal(t, completion.CodeCut, got.Error.Code)
	require.JSONEq(t, `{"partial":1}`, string(got.Result))
	require.Equal(t, "up", got.Upstream)

	claimed := claim(t, s, job, "w2")
	require.Equal(t, 2, claimed.Attempt)
	require.True(t, claimed.RetryAt.IsZero())
	r.Counted, r.RetryAt = false, time.Time{}
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 2, r))
	got = get(t, s, job)
	require.Equal(t, 1, got.Tries, "what is not the job's fault costs no try")
	require.Equal(t, 1, got.Returned)
}

func retryStale(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	_, err := s.Claim(t.Context(), job.Ref(), "w1", now())
	require.NoError(t, err)
	require.ErrorIs(t, s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: outcome(completion.Queued)}), completion.ErrStale)
	require.Equal(t, completion.Running, get(t, s, job).State)
	require.ErrorIs(t, s.Retry(t.Context(), completion.Ref{Tenant: "acme", Job: "job_0"}, 1, completion.Retry{Outcome: outcome(completion.Queued)}), completion.ErrNotFound)
}

func retryCancelled(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	_, _, err := s.Cancel(t.Context(), job.Ref(), now())
	require.NoError(t, err)
	require.ErrorIs(t, s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: outcome(completion.Queued)}), completion.ErrCancelled)
	require.Equal(t, completion.Running, get(t, s, job).State)
}

func finishRoundTrip(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	o := completion.Outcome{
		State: completion.Failed, Upstream: "up", Result: json.RawMessage("{\"t\":\"\\u0000 \\udcff 'x'\"}"), Usage: []byte(`{"total_tokens": 3}`),
		FinishReason: "length", Error: &completion.Error{Code: completion.CodeUpstream, Message: "m\x00'é", Retryable: true, UpstreamStatus: 500, Param: "p"},
		FirstTokenAt: now(), At: now().Add(time.Second),
	}
	got, err := s.Finish(t.Context(), job.Ref(), 1, o)
	require.NoError(t, err)
	require.Equal(t, got, get(t, s, job))
	require.Equal(t, completion.Failed, got.State)
	require.Equal(t, string(o.Result), string(got.Result), "byte for byte")
	require.Equal(t, string(o.Usage), string(got.Usage))
	require.Equal(t, o.Error, got.Error)
	require.Equal(t, o.FirstTokenAt, got.FirstTokenAt)
	require.Equal(t, o.At, got.FinishedAt)
	require.Equal(t, "length", got.FinishReason)
}

func finishRepeated(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	o := outcome(completion.Completed)
	o.Result = []byte(`{}`)
	first, err := s.Finish(t.Context(), job.Ref(), 1, o)
	require.NoError(t, err)
	again, err := s.Finish(t.Context(), job.Ref(), 1, o)
	require.NoError(t, err, "a repeat after a lost answer")
	require.Equal(t, first, again)
	o.At, o.Result = o.At.Add(time.Second), []byte(`{"other":1}`)
	again, err = s.Finish(t.Context(), job.Ref(), 1, o)
	require.NoError(t, err, "a repeat that was made anew")
	require.Equal(t, first, again, "the first one stands")
	o.State = completion.Failed
	_, err = s.Finish(t.Context(), job.Ref(), 1, o)
	require.ErrorIs(t, err, completion.ErrFinal)
	require.Equal(t, first, get(t, s, job))
}

func finishStale(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	_, err := s.Claim(t.Context(), job.Ref(), "w1", now())
	require.NoError(t, err)
	_, err = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed))
	require.ErrorIs(t, err, completion.ErrStale)
	require.Equal(t, completion.Running, get(t, s, job).State)
	_, err = s.Finish(t.Context(), job.Ref(), 2, outcome(completion.Completed))
	require.NoError(t, err)
	_, err = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed))
	require.ErrorIs(t, err, completion.ErrStale)
}

// finishHandedBack: an attempt that was handed back has no say in how the job ends.
func finishHandedBack(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: outcome(completion.Queued)}))
	for _, state := range []completion.State{completion.Completed, completion.Failed, completion.Cancelled, completion.Expired} {
		_, err := s.Finish(t.Context(), job.Ref(), 1, outcome(state))
		require.ErrorIs(t, err, completion.ErrStale, state)
	}
	require.Equal(t, completion.Queued, get(t, s, job).State)
}

func finishNotFinal(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	for _, state := range []completion.State{completion.Queued, completion.Running, "", "x"} {
		_, err := s.Finish(t.Context(), job.Ref(), 1, outcome(state))
		require.Error(t, err, state)
	}
	require.Equal(t, job, get(t, s, job))
}

// finishOneOutcome: whatever is said at once about how an attempt ended, one thing is stored, and only who said that is
// told so.
func finishOneOutcome(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	states := []completion.State{completion.Completed, completion.Failed, completion.Cancelled, completion.Expired}
	said := make([]completion.State, 16)
	var wg sync.WaitGroup
	for i := range said {
		wg.Go(func() {
			o := outcome(states[i%len(states)])
			_, err := s.Finish(t.Context(), job.Ref(), 1, o)
			switch {
			case err == nil:
				said[i] = o.State
			case !errors.Is(err, completion.ErrFinal):
				t.Errorf("finish: %v", err)
			}
		})
	}
	wg.Wait()
	stored := get(t, s, job).State
	require.True(t, stored.Final())
	for i, state := range said {
		if states[i%len(states)] != stored {
			require.Empty(t, state)
		} else {
			require.Equal(t, stored, state)
		}
	}
}
