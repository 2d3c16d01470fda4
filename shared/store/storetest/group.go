package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// atOnce calls f for each number below n, all at the same time.
func atOnce(n int, f func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// groupAdds: each of many jobs that are added together is stored as it would be alone, and gets the answer that it would get
// alone.
func groupAdds(t *testing.T, s *store.Store) {
	const n = 210
	keyed := func(key string) func(*completion.Job) {
		return func(j *completion.Job) { j.IdempotencyKey, j.BodyHash = key, "h" }
	}
	old := add(t, s, keyed("used"))
	failed := claim(t, s, add(t, s), "w1")
	_, err := s.Finish(t.Context(), failed.Ref(), 1, outcome(completion.Failed))
	require.NoError(t, err)
	g := s.Group()
	stored, made, errs := make([]completion.Job, n), make([]bool, n), make([]error, n)
	atOnce(n, func(i int) {
		at := now()
		job := completion.Job{
			ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: "m'\x00",
			Request: fmt.Appendf(nil, "{\"n\":%d,\"t\":\"\\u0000 \\udcff 'x' ?0\"}", i), CreatedAt: at, UpdatedAt: at, Deadline: at.Add(time.Hour),
		}
		switch i % 7 {
		case 1:
			keyed(fmt.Sprint("new", i))(&job)
			job.Metadata = map[string]string{"k'": `v"?\é`}
		case 2:
			keyed("used")(&job)
		case 3:
			keyed("used")(&job)
			job.BodyHash = "another"
		case 4:
			job.RetryOf = failed.ID
		case 5:
			job.Quota = completion.Quota{Total: 10}
		case 6:
			job.Request = []byte(`{"t":"` + strings.Repeat("x", 20<<10) + `"}`)
		}
		stored[i], made[i], errs[i] = g.Add(t.Context(), &job)
	})
	var again, counted int
	for i := range n {
		switch i % 7 {
		case 2:
			require.NoError(t, errs[i])
			require.False(t, made[i])
			require.Equal(t, old.ID, stored[i].ID, "I7")
			continue
		case 3:
			require.ErrorIs(t, errs[i], completion.ErrConflict)
			continue
		case 4:
			require.NoError(t, errs[i])
			if made[i] {
				again++
			}
		case 5:
			if errs[i] != nil {
				require.Equal(t, completion.CodeAllQuota, completion.AsError(errs[i]).Code)
				require.False(t, made[i])
				continue
			}
			counted++
		default:
			require.NoError(t, errs[i])
			require.True(t, made[i])
		}
		require.Equal(t, stored[i], get(t, s, stored[i]), "byte for byte")
	}
	require.Equal(t, 1, again)
	require.Equal(t, 10, counted)
}

// groupMany: jobs that are claimed and finished together are as those that were alone.
func groupMany(t *testing.T, s *store.Store) {
	const n = 300
	g := s.Group()
	b := fed(t, s, n)
	require.NoError(t, s.Beat(t.Context(), "w\x00", nil, now()))
	states := []completion.State{completion.Completed, completion.Failed, completion.Cancelled, completion.Expired}
	claimed, finished := make([]completion.Job, n), make([]completion.Job, n)
	outcomes := make([]completion.Outcome, n)
	atOnce(n, func(i int) {
		ref := completion.Ref{Tenant: b.Tenant, Job: b.LineJobID(i + 1)}
		var err error
		if claimed[i], err = g.Claim(t.Context(), ref, "w\x00", now()); err != nil {
			t.Errorf("claim: %v", err)
		}
		o := completion.Outcome{State: states[i%4], At: now().Add(time.Second)}
		if i%3 > 0 {
			o.Upstream, o.FinishReason, o.Unsaid, o.FirstTokenAt = "up?'", "stop\x00", true, now()
			o.Result, o.Usage = json.RawMessage(fmt.Sprintf("{\"t\":\"%d \\u0000 \\udcff 'x' ?0\"}", i)), []byte(`{"total_tokens": 3}`)
			o.Error = &completion.Error{Code: completion.CodeUpstream, Message: "m\x00'é", Retryable: true, UpstreamStatus: 500, Param: "p"}
		}
		outcomes[i] = o
		if finished[i], err = g.Finish(t.Context(), ref, 1, o); err != nil {
			t.Errorf("finish: %v", err)
		}
	})
	for i, job := range finished {
		stored := get(t, s, claimed[i])
		require.Equal(t, 1, claimed[i].Attempt)
		require.Equal(t, completion.Running, claimed[i].State)
		require.Equal(t, "w\uFFFD", claimed[i].Worker)
		require.Equal(t, string(stored.Request), string(claimed[i].Request), "a claim brings the request")
		require.Equal(t, claimed[i].StartedAt, stored.StartedAt)
		require.Equal(t, string(outcomes[i].Result), string(stored.Result), "byte for byte")
		require.Equal(t, outcomes[i].State, stored.State)
		require.Equal(t, outcomes[i].Error, stored.Error)
		require.Equal(t, outcomes[i].At, stored.FinishedAt)
		require.Equal(t, outcomes[i].FirstTokenAt, stored.FirstTokenAt)
		job.Request = stored.Request // need not come
		require.Equal(t, stored, job)
	}
}

// groupClaims: each of many claims gets the answer that it would get alone.
func groupClaims(t *testing.T, s *store.Store) {
	at := now()
	for _, worker := range []string{"w1", "w2"} {
		require.NoError(t, s.Beat(t.Context(), worker, nil, at))
	}
	final := claim(t, s, add(t, s), "w1")
	_, err := s.Finish(t.Context(), final.Ref(), 1, outcome(completion.Completed))
	require.NoError(t, err)
	dead := add(t, s)
	_, err = s.Claim(t.Context(), dead.Ref(), "never seen", at)
	require.NoError(t, err)
	foreign := add(t, s)
	for name, row := range map[string]struct {
		job     completion.Job
		attempt int
		err     error
	}{
		"Queued":  {add(t, s), 1, nil},
		"InTime":  {add(t, s, until(at.Add(time.Microsecond))), 1, nil},
		"Held":    {claim(t, s, add(t, s), "w2"), 1, completion.ErrHeld},
		"Own":     {claim(t, s, add(t, s), "w1"), 2, nil},
		"Dead":    {dead, 2, nil},
		"Final":   {final, 1, completion.ErrFinal},
		"Overdue": {add(t, s, until(at)), 0, completion.ErrFinal},
		"Foreign": {completion.Job{Tenant: "other", ID: foreign.ID}, 0, completion.ErrNotFound},
		"Missing": {completion.Job{Tenant: "acme", ID: "job_0"}, 0, completion.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			g := s.Group()
			others := fed(t, s, 20)
			atOnce(21, func(i int) {
				if i == 10 {
					job, err := g.Claim(t.Context(), row.job.Ref(), "w1", at)
					if !errors.Is(err, row.err) || (row.err == nil) != (err == nil) || job.Attempt != row.attempt {
						t.Errorf("claim: attempt %d: %v", job.Attempt, err)
					}
					return
				}
				ref := completion.Ref{Tenant: others.Tenant, Job: others.LineJobID(i%20 + 1)}
				if job, err := g.Claim(t.Context(), ref, "w1", at); err != nil || job.ID != ref.Job {
					t.Errorf("claim beside: %s: %v", job.ID, err)
				}
			})
		})
	}
	require.Equal(t, completion.Queued, get(t, s, foreign).State, "I8")
}

// groupFinishes: each of many ends gets the answer that it would get alone.
func groupFinishes(t *testing.T, s *store.Store) {
	stale := claim(t, s, claim(t, s, add(t, s), "w1"), "w1")
	queued := claim(t, s, add(t, s), "w1")
	require.NoError(t, s.Retry(t.Context(), queued.Ref(), 1, completion.Retry{Outcome: outcome(completion.Queued)}))
	done, failed, foreign := claim(t, s, add(t, s), "w1"), claim(t, s, add(t, s), "w1"), claim(t, s, add(t, s), "w1")
	for job, state := range map[*completion.Job]completion.State{&done: completion.Completed, &failed: completion.Failed} {
		_, err := s.Finish(t.Context(), job.Ref(), 1, outcome(state))
		require.NoError(t, err)
	}
	for name, row := range map[string]struct {
		job completion.Job
		err error
	}{
		"Running":    {claim(t, s, add(t, s), "w1"), nil},
		"Stale":      {stale, completion.ErrStale},
		"HandedBack": {queued, completion.ErrStale},
		"Repeated":   {done, nil},
		"Final":      {failed, completion.ErrFinal},
		"Foreign":    {completion.Job{Tenant: "other", ID: foreign.ID}, completion.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			g := s.Group()
			others := fed(t, s, 20)
			for i := range 20 {
				claim(t, s, completion.Job{Tenant: others.Tenant, ID: others.LineJobID(i + 1)}, "w1")
			}
			atOnce(21, func(i int) {
				ref, want := row.job.Ref(), row.err
				if i != 10 {
					ref, want = completion.Ref{Tenant: others.Tenant, Job: others.LineJobID(i%20 + 1)}, nil
				}
				_, err := g.Finish(t.Context(), ref, 1, outcome(completion.Completed))
				if !errors.Is(err, want) || (want == nil) != (err == nil) {
					t.Errorf("finish %d: %v", i, err)
				}
			})
		})
	}
	require.Equal(t, completion.Running, get(t, s, foreign).State, "I8")
	_, err := s.Group().Finish(t.Context(), foreign.Ref(), 1, outcome(completion.Running))
	require.Error(t, err, "not a final state")
}

// groupOneWins: of many claims of one job, and of many that say how it ended, one wins.
func groupOneWins(t *testing.T, s *store.Store) {
	const n = 24
	g, job := s.Group(), add(t, s)
	var mu sync.Mutex
	var claims, ends []completion.Job
	for i := range n {
		require.NoError(t, s.Beat(t.Context(), fmt.Sprint("w", i), nil, now()))
	}
	atOnce(n, func(i int) {
		got, err := g.Claim(t.Context(), job.Ref(), fmt.Sprint("w", i), now())
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			claims = append(claims, got)
		} else if !errors.Is(err, completion.ErrHeld) {
			t.Errorf("claim: %v", err)
		}
	})
	require.Len(t, claims, 1)
	require.Equal(t, claims[0], get(t, s, job))
	states := []completion.State{completion.Completed, completion.Failed}
	atOnce(n, func(i int) {
		got, err := g.Finish(t.Context(), job.Ref(), 1, outcome(states[i%2]))
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			ends = append(ends, got)
		} else if !errors.Is(err, completion.ErrFinal) {
			t.Errorf("finish: %v", err)
		}
	})
	require.Len(t, ends, n/2)
	for _, got := range ends {
		require.Equal(t, get(t, s, job).State, got.State)
	}
}

// groupNotices: the end of a job is told, however it is stored.
func groupNotices(t *testing.T, s *store.Store) {
	const n = 40
	w, g := hook(t, s, "*"), s.Group()
	list := make([]completion.Job, n)
	for i := range list {
		list[i] = claim(t, s, add(t, s), "w")
	}
	atOnce(n, func(i int) {
		if _, err := g.Finish(t.Context(), list[i].Ref(), 1, outcome(completion.Completed)); err != nil {
			t.Errorf("finish: %v", err)
		}
	})
	require.Len(t, told(t, s, w), n)
}

func groupCallerGone(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := s.Group()
	b := fed(t, s, 40)
	atOnce(40, func(i int) {
		ref := completion.Ref{Tenant: b.Tenant, Job: b.LineJobID(i + 1)}
		if i%2 == 0 {
			if _, err := g.Claim(t.Context(), ref, "w", now()); err != nil {
				t.Errorf("claim: %v", err)
			}
		} else if _, err := g.Claim(ctx, ref, "w", now()); !errors.Is(err, context.Canceled) {
			t.Errorf("claim: %v", err)
		}
	})
}

// groupAddsCallerGone: who leaves while a job is added leaves behind what Add says, not a job that nobody knows of.
func groupAddsCallerGone(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := s.Group()
	added := make([]completion.Job, 20)
	atOnce(len(added), func(i int) {
		at := now()
		job := completion.Job{
			ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: "m",
			Request: json.RawMessage(`{}`), CreatedAt: at, UpdatedAt: at,
		}
		var created bool
		var err error
		if added[i], created, err = g.Add(ctx, &job); err != nil || !created {
			t.Errorf("add: %t, %v", created, err)
		}
	})
	for _, job := range added {
		require.Equal(t, job, get(t, s, job))
	}
}
