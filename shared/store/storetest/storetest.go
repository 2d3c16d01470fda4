// Package storetest is the contract of package store: what every database under it must keep. Each subtest is one
// promise; those of an invariant carry its number.
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// now is a time that both databases keep exactly.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Run checks the store that open returns, anew for each subtest.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"Add/RoundTrip":              addRoundTrip,
		"Add/I7_SameKeySameJob":      addSameKey,
		"Add/I7_ManyAtOnce":          addManyAtOnce,
		"Get/I8_OtherTenant":         getOtherTenant,
		"List/PagesStayPut":          listPages,
		"List/Filters":               listFilters,
		"Claim/NextAttempt":          claimNext,
		"Claim/OneOfManyWins":        claimOneWins,
		"Claim/Held":                 claimHeld,
		"Claim/DeadWorker":           claimDeadWorker,
		"Claim/Final":                claimFinal,
		"Retry/QueuesAgain":          retryQueues,
		"Retry/I5_Stale":             retryStale,
		"Retry/I9_Cancelled":         retryCancelled,
		"Finish/RoundTrip":           finishRoundTrip,
		"Finish/I2_Repeated":         finishRepeated,
		"Finish/I5_Stale":            finishStale,
		"Finish/I1_OneOutcome":       finishOneOutcome,
		"Cancel/I9_Queued":           cancelQueued,
		"Cancel/I9_Running":          cancelRunning,
		"Cancel/I9_DeadWorker":       cancelDeadWorker,
		"Cancel/I9_Final":            cancelFinal,
		"Cancel/I9_AgainstFinish":    cancelAgainstFinish,
		"Cancel/I8_OtherTenant":      cancelOtherTenant,
		"Orphans/I1_OnlyTheLost":     orphansOnlyLost,
		"Orphans/I1_PageByPage":      orphansPages,
		"Worker/LeaveForgetsOldOnes": workerLeave,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func add(t *testing.T, s *store.Store, change ...func(*completion.Job)) completion.Job {
	t.Helper()
	at := now()
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: "acme", Lane: completion.Interactive, State: completion.Queued, Model: "m",
		Request: json.RawMessage(`{"messages":[]}`), CreatedAt: at, UpdatedAt: at,
	}
	for _, c := range change {
		c(&job)
	}
	stored, created, err := s.Add(t.Context(), &job)
	require.NoError(t, err)
	require.True(t, created)
	return stored
}

func claim(t *testing.T, s *store.Store, job completion.Job, worker string) completion.Job {
	t.Helper()
	require.NoError(t, s.Beat(t.Context(), worker, now()))
	claimed, err := s.Claim(t.Context(), job.Ref(), worker, now())
	require.NoError(t, err)
	return claimed
}

func get(t *testing.T, s *store.Store, job completion.Job) completion.Job {
	t.Helper()
	stored, err := s.Get(t.Context(), job.Ref())
	require.NoError(t, err)
	return stored
}

func outcome(state completion.State) completion.Outcome {
	return completion.Outcome{State: state, At: now()}
}

func addRoundTrip(t *testing.T, s *store.Store) {
	nasty := json.RawMessage("{\"a\" : \"\\u0000 \\ud83d '\\\\' ? ?0 {{.}} é😀\\n\", \"n\":1.50e3}")
	want := add(t, s, func(j *completion.Job) {
		j.Request, j.Model, j.Lane = nasty, `m'"?\é😀`, completion.Batch
		j.Metadata = map[string]string{"k'": `v"?\é`, "": "empty"}
		j.IdempotencyKey, j.BodyHash = "k?'", "h"
	})
	got := get(t, s, want)
	require.Equal(t, want, got)
	require.Equal(t, string(nasty), string(got.Request), "byte for byte")
	require.True(t, got.StartedAt.IsZero())
	require.Nil(t, got.Error)
}

func addSameKey(t *testing.T, s *store.Store) {
	keyed := func(hash string) func(*completion.Job) {
		return func(j *completion.Job) { j.IdempotencyKey, j.BodyHash = "key", hash }
	}
	first := add(t, s, keyed("h1"))
	again := first
	again.ID = completion.NewJobID()
	got, created, err := s.Add(t.Context(), &again)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, first.ID, got.ID)
	again.BodyHash = "h2"
	_, _, err = s.Add(t.Context(), &again)
	require.ErrorIs(t, err, completion.ErrConflict)
	other := add(t, s, keyed("h2"), func(j *completion.Job) { j.Tenant = "other" })
	require.NotEqual(t, first.ID, other.ID, "keys belong to tenants")
	add(t, s)
	add(t, s)
}

func addManyAtOnce(t *testing.T, s *store.Store) {
	var made atomic.Int32
	ids := make([]string, 32)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			at := now()
			job := completion.Job{ID: completion.NewJobID(), Tenant: "acme", Lane: completion.Batch, State: completion.Queued, Model: "m", Request: []byte(`{}`), IdempotencyKey: "k", BodyHash: "h", CreatedAt: at, UpdatedAt: at}
			stored, created, err := s.Add(t.Context(), &job)
			if err != nil {
				t.Errorf("add: %v", err)
			}
			if created {
				made.Add(1)
			}
			ids[i] = stored.ID
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, made.Load())
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
}

func getOtherTenant(t *testing.T, s *store.Store) {
	job := add(t, s)
	_, err := s.Get(t.Context(), completion.Ref{Tenant: "other", Job: job.ID})
	require.ErrorIs(t, err, completion.ErrNotFound)
	_, missing := s.Get(t.Context(), completion.Ref{Tenant: "acme", Job: "job_0"})
	require.ErrorIs(t, missing, completion.ErrNotFound)
	_, err = s.Claim(t.Context(), completion.Ref{Tenant: "other", Job: job.ID}, "w", now())
	require.ErrorIs(t, err, completion.ErrNotFound)
	page, _, err := s.List(t.Context(), "other", store.Query{})
	require.NoError(t, err)
	require.Empty(t, page)
}

// inOrder makes n jobs whose ids sort in the order in which they were made.
func inOrder(t *testing.T, s *store.Store, prefix string, n int) []completion.Job {
	t.Helper()
	list := make([]completion.Job, n)
	for i := range n {
		list[i] = add(t, s, func(j *completion.Job) { j.ID = fmt.Sprintf("job_%s%03d", prefix, i) })
	}
	return list
}

func listPages(t *testing.T, s *store.Store) {
	list := inOrder(t, s, "a", 7)
	page, next, err := s.List(t.Context(), "acme", store.Query{Limit: 3})
	require.NoError(t, err)
	require.Equal(t, []string{list[6].ID, list[5].ID, list[4].ID}, ids(page))
	require.Equal(t, list[4].ID, next)
	require.Nil(t, page[0].Request, "lists are light")
	inOrder(t, s, "b", 2)
	page, next, err = s.List(t.Context(), "acme", store.Query{Limit: 3, After: next})
	require.NoError(t, err)
	require.Equal(t, []string{list[3].ID, list[2].ID, list[1].ID}, ids(page), "newer jobs do not shift the pages")
	page, next, err = s.List(t.Context(), "acme", store.Query{Limit: 3, After: next})
	require.NoError(t, err)
	require.Equal(t, []string{list[0].ID}, ids(page))
	require.Empty(t, next)
	page, _, err = s.List(t.Context(), "acme", store.Query{Limit: 2, Oldest: true, After: list[0].ID})
	require.NoError(t, err)
	require.Equal(t, []string{list[1].ID, list[2].ID}, ids(page))
}

func listFilters(t *testing.T, s *store.Store) {
	list := inOrder(t, s, "a", 3)
	batch := add(t, s, func(j *completion.Job) { j.Lane, j.Model = completion.Batch, "other'" })
	claim(t, s, list[0], "w")
	for name, c := range map[string]struct {
		query store.Query
		want  int
	}{
		"state":  {store.Query{State: completion.Running}, 1},
		"lane":   {store.Query{Lane: completion.Batch}, 1},
		"model":  {store.Query{Model: "other'"}, 1},
		"none":   {store.Query{State: completion.Running, Lane: completion.Batch}, 0},
		"after":  {store.Query{CreatedAfter: batch.CreatedAt.Add(-time.Microsecond)}, 1},
		"before": {store.Query{CreatedBefore: batch.CreatedAt}, 3},
		"limit":  {store.Query{Limit: 1000}, 4},
	} {
		page, _, err := s.List(t.Context(), "acme", c.query)
		require.NoError(t, err, name)
		require.Len(t, page, c.want, name)
	}
}

func ids(list []completion.Job) []string {
	var all []string
	for _, j := range list {
		all = append(all, j.ID)
	}
	return all
}

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

func claimOneWins(t *testing.T, s *store.Store) {
	job := add(t, s)
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 32 {
		worker := fmt.Sprint("w", i)
		require.NoError(t, s.Beat(t.Context(), worker, now()))
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
	require.Equal(t, 1, get(t, s, job).Attempt)
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
	require.NoError(t, s.Beat(t.Context(), "w2", now().Add(time.Minute)))
	require.NoError(t, s.Leave(t.Context(), "w2", now()))
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
	require.Equal(t, r.RetryAt, got.RetryAt)
	require.Equal(t, completion.CodeCut, got.Error.Code)
	require.JSONEq(t, `{"partial":1}`, string(got.Result))
	require.Equal(t, "up", got.Upstream)

	claimed := claim(t, s, job, "w2")
	require.Equal(t, 2, claimed.Attempt)
	require.True(t, claimed.RetryAt.IsZero())
	r.Counted, r.RetryAt = false, time.Time{}
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 2, r))
	require.Equal(t, 1, get(t, s, job).Tries, "what is not the job's fault costs no try")
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
	_, err := s.Cancel(t.Context(), job.Ref(), now())
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
	o.State, o.At = completion.Failed, o.At.Add(time.Second)
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

func finishOneOutcome(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	states := []completion.State{completion.Completed, completion.Failed, completion.Cancelled, completion.Expired}
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			o := completion.Outcome{State: states[i%len(states)], At: now().Add(time.Duration(i) * time.Millisecond)}
			_, err := s.Finish(t.Context(), job.Ref(), 1, o)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, completion.ErrFinal):
				t.Errorf("finish: %v", err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
	require.True(t, get(t, s, job).State.Final())
}

func cancelQueued(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	require.NoError(t, s.Retry(t.Context(), job.Ref(), 1, completion.Retry{Outcome: completion.Outcome{Result: []byte(`{"p":1}`), Usage: []byte(`{"u":1}`), At: now()}}))
	at := now()
	got, err := s.Cancel(t.Context(), job.Ref(), at)
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
	got, err := s.Cancel(t.Context(), job.Ref(), now())
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

func cancelDeadWorker(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	got, err := s.Cancel(t.Context(), job.Ref(), now().Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, completion.Cancelled, got.State, "nobody is there to end it")
	_, err = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed))
	require.ErrorIs(t, err, completion.ErrFinal)
}

func cancelFinal(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	done, err := s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed))
	require.NoError(t, err)
	got, err := s.Cancel(t.Context(), job.Ref(), now())
	require.NoError(t, err)
	require.Equal(t, done, got)
}

func cancelAgainstFinish(t *testing.T, s *store.Store) {
	for range 20 {
		job := claim(t, s, add(t, s), "w1")
		var cancelled, finished completion.Job
		var cancelErr, finishErr error
		var wg sync.WaitGroup
		wg.Go(func() { cancelled, cancelErr = s.Cancel(t.Context(), job.Ref(), now()) })
		wg.Go(func() { finished, finishErr = s.Finish(t.Context(), job.Ref(), 1, outcome(completion.Completed)) })
		wg.Wait()
		require.NoError(t, cancelErr)
		require.NoError(t, finishErr)
		require.Equal(t, completion.Completed, finished.State)
		require.Contains(t, []completion.State{completion.Running, completion.Completed}, cancelled.State)
	}
}

func cancelOtherTenant(t *testing.T, s *store.Store) {
	job := add(t, s)
	_, err := s.Cancel(t.Context(), completion.Ref{Tenant: "other", Job: job.ID}, now())
	require.ErrorIs(t, err, completion.ErrNotFound)
	require.Equal(t, completion.Queued, get(t, s, job).State)
}

func orphansOnlyLost(t *testing.T, s *store.Store) {
	at := now()
	old := func(j *completion.Job) { j.CreatedAt, j.UpdatedAt = at.Add(-time.Hour), at.Add(-time.Hour) }
	lost := add(t, s, old)
	add(t, s) // just queued
	due := add(t, s, old, func(j *completion.Job) { j.RetryAt = at.Add(-time.Second) })
	add(t, s, old, func(j *completion.Job) { j.RetryAt = at.Add(time.Minute) })
	claim(t, s, add(t, s, old), "alive")
	dead := add(t, s, old)
	_, err := s.Claim(t.Context(), dead.Ref(), "dead", at)
	require.NoError(t, err)
	final := claim(t, s, add(t, s, old), "alive")
	_, err = s.Finish(t.Context(), final.Ref(), 1, outcome(completion.Completed))
	require.NoError(t, err)

	found, err := s.Orphans(t.Context(), at.Add(-10*time.Second), at, "", 100)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{lost.ID, due.ID, dead.ID}, ids(found))
	require.Equal(t, completion.Interactive, found[0].Lane)
	require.Nil(t, found[0].Request)
}

func orphansPages(t *testing.T, s *store.Store) {
	list := inOrder(t, s, "a", 5)
	var got []string
	for after := ""; ; {
		page, err := s.Orphans(t.Context(), now().Add(time.Hour), now(), after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, ids(page)...)
		after = page[len(page)-1].ID
	}
	require.Equal(t, ids(list), got)
}

func workerLeave(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	require.NoError(t, s.Beat(t.Context(), "w1", now()), "a beat may be repeated")
	require.NoError(t, s.Leave(t.Context(), "w2", now().AddDate(0, 0, 2)))
	_, err := s.Claim(t.Context(), job.Ref(), "w3", now())
	require.NoError(t, err, "w1 has been forgotten after a day")
	require.NoError(t, s.Beat(t.Context(), "w3", now()))
	require.NoError(t, s.Alone(t.Context()))
	_, err = s.Claim(t.Context(), job.Ref(), "w4", now())
	require.NoError(t, err, "nobody else is there")
	require.NoError(t, s.Ping(t.Context()))
}
