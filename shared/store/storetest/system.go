package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// A worker is listed with what it said last, one that says nothing too, and one that died an hour ago no more.
func systemWorkers(t *testing.T, s *store.Store) {
	at := now()
	status := completion.WorkerStatus{
		Host: "a", Version: "v1", StartedAt: at, Draining: true,
		Lanes: []completion.LaneStatus{{
			Lane: completion.LaneBatch, Slots: 8, Running: 3, Throttle: &completion.Throttle{Limit: 2, Until: at},
			Minute: completion.Yield{Completed: 1, FirstDelta: completion.Spread{0, 2}},
		}},
		Upstreams: []completion.UpstreamStatus{{Name: "u", State: completion.UpstreamOK, Errors: map[completion.Code]int64{completion.CodeCut: 1}}},
	}
	older := status
	older.Host = "b"
	require.NoError(t, s.Beat(t.Context(), "a", &older, at.Add(-time.Minute)))
	require.NoError(t, s.Beat(t.Context(), "a", &status, at))
	require.NoError(t, s.Beat(t.Context(), "silent", nil, at.Add(-time.Second)))
	require.NoError(t, s.Beat(t.Context(), "dead", &status, at.Add(-30*time.Minute)))
	require.NoError(t, s.Beat(t.Context(), "gone", &status, at.Add(-2*time.Hour)))
	list, err := s.Workers(t.Context(), at)
	require.NoError(t, err)
	require.Equal(t, []completion.Worker{
		{ID: "a", SeenAt: at, Alive: true, Status: &status},
		{ID: "silent", SeenAt: at.Add(-time.Second), Alive: true},
		{ID: "dead", SeenAt: at.Add(-30 * time.Minute), Status: &status},
	}, list)
	long := status
	long.Host = strings.Repeat("x", completion.MaxWorkerStatus)
	require.NoError(t, s.Beat(t.Context(), "a", &long, at.Add(time.Second)))
	list, err = s.Workers(t.Context(), at.Add(time.Second))
	require.NoError(t, err)
	require.Nil(t, list[0].Status, "too long to be kept")
	require.True(t, list[0].Alive)
}

// What has failed or expired is listed, the latest first, whoever's it is, with what tries it again; lines of batches are
// not.
func systemFailures(t *testing.T, s *store.Store) {
	fail := func(tenant string, at time.Time, state completion.State, change ...func(*completion.Job)) completion.Job {
		job := claim(t, s, add(t, s, append(change, func(j *completion.Job) { j.Tenant = tenant })...), "w")
		o := outcome(state)
		o.At, o.Error, o.Result = at, completion.NewError(completion.CodeUpstream, ""), []byte(`{"choices":[]}`)
		ended, err := s.Finish(t.Context(), job.Ref(), job.Attempt, o)
		require.NoError(t, err)
		return ended
	}
	at := now()
	second, first := fail("acme", at.Add(time.Second), completion.Expired), fail("other", at, completion.Failed)
	third := fail("acme", at.Add(2*time.Second), completion.Failed)
	fail("acme", at, completion.Completed)
	fail("acme", at, completion.Cancelled)
	batch := completion.NewBatchID()
	fail("acme", at, completion.Failed, func(j *completion.Job) { j.Batch, j.Line = batch, 1 })
	add(t, s)
	again := add(t, s, func(j *completion.Job) { j.RetryOf = second.ID })
	add(t, s, func(j *completion.Job) { j.Tenant, j.RetryOf = "other", third.ID }) // a tenant can say what it likes of its own
	list, err := s.Failures(t.Context(), 0)
	require.NoError(t, err)
	want := []store.Failure{{Job: third}, {Job: second, Retry: again.ID}, {Job: first}}
	for i := range want {
		want[i].Request, want[i].Result = nil, nil
	}
	require.Equal(t, want, list)
	list, err = s.Failures(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, want[:1], list)
}
