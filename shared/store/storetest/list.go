package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

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
	batch := add(t, s, func(j *completion.Job) { j.Lane, j.Model = completion.LaneBatch, "other'" })
	claim(t, s, list[0], "w")
	for name, c := range map[string]struct {
		query store.Query
		want  int
	}{
		"state":  {store.Query{State: completion.Running}, 1},
		"lane":   {store.Query{Lane: completion.LaneBatch}, 1},
		"model":  {store.Query{Model: "other'"}, 1},
		"none":   {store.Query{State: completion.Running, Lane: completion.LaneBatch}, 0},
		"after":  {store.Query{CreatedAfter: batch.CreatedAt.Add(-time.Microsecond)}, 1},
		"before": {store.Query{CreatedBefore: batch.CreatedAt}, 3},
		"limit":  {store.Query{Limit: 1000}, 4},
	} {
		page, _, err := s.List(t.Context(), "acme", c.query)
		require.NoError(t, err, name)
		require.Len(t, page, c.want, name)
	}
}

// listTimes: times compare as times, however many digits their fractions have.
func listTimes(t *testing.T, s *store.Store) {
	base := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	steps := []time.Duration{0, time.Microsecond, 10 * time.Microsecond, time.Millisecond, 100 * time.Millisecond, 999999 * time.Microsecond, time.Second, 24 * time.Hour}
	berlin := time.FixedZone("", 3600)
	for i, d := range steps {
		add(t, s, func(j *completion.Job) { j.ID, j.CreatedAt = fmt.Sprint("job_", i), base.Add(d).In(berlin) })
	}
	for i, d := range steps {
		before, _, err := s.List(t.Context(), "acme", store.Query{CreatedBefore: base.Add(d)})
		require.NoError(t, err)
		require.Len(t, before, i, "before %s", d)
		after, _, err := s.List(t.Context(), "acme", store.Query{CreatedAfter: base.Add(d).In(berlin)})
		require.NoError(t, err)
		require.Len(t, after, len(steps)-i-1, "after %s", d)
	}
}

func ids(list []completion.Job) []string {
	var all []string
	for _, j := range list {
		all = append(all, j.ID)
	}
	return all
}

func orphansOnlyLost(t *testing.T, s *store.Store) {
	at := now()
	old := func(j *completion.Job) { j.CreatedAt, j.UpdatedAt = at.Add(-time.Hour), at.Add(-time.Hour) }
	lost := add(t, s, old)
	add(t, s) // just queued
	due := add(t, s, old, func(j *completion.Job) { j.RetryAt = at.Add(-time.Second) })
	add(t, s, old, func(j *completion.Job) { j.RetryAt = at.Add(time.Minute) })
	claim(t, s, add(t, s, old), "alive")
	final := claim(t, s, add(t, s, old), "alive")
	_, err := s.Finish(t.Context(), final.Ref(), 1, outcome(completion.Completed))
	require.NoError(t, err)

	found, err := s.Orphans(t.Context(), at.Add(-10*time.Second), at, "", 100)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{lost.ID, due.ID}, ids(found))
	require.Equal(t, completion.LaneInteractive, found[0].Lane)
	require.Nil(t, found[0].Request)
}

func abandonedDead(t *testing.T, s *store.Store) {
	claim(t, s, add(t, s), "alive")
	add(t, s)
	dead := []completion.Job{add(t, s), add(t, s)}
	for _, job := range dead {
		_, err := s.Claim(t.Context(), job.Ref(), "never seen", now())
		require.NoError(t, err)
	}
	found, err := s.Abandoned(t.Context(), now(), "", 1)
	require.NoError(t, err)
	rest, err := s.Abandoned(t.Context(), now(), found[0].ID, 10)
	require.NoError(t, err)
	require.ElementsMatch(t, ids(dead), ids(append(found, rest...)))
	require.Equal(t, 1, found[0].Attempt)
	neverSeen, err := s.Abandoned(t.Context(), time.Unix(0, 0), "", 10)
	require.NoError(t, err)
	require.Len(t, neverSeen, 2, "whoever was seen at any time lived then")
	all, err := s.Abandoned(t.Context(), now().Add(store.DefaultWorkerTTL+time.Second), "", 10)
	require.NoError(t, err)
	require.Len(t, all, 3, "the other has not been seen for long either")
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
