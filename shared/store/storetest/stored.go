package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// complete adds a stored job and brings it to its end.
func complete(t *testing.T, s *store.Store, change ...func(*completion.Job)) completion.Job {
	t.Helper()
	job := add(t, s, append([]func(*completion.Job){func(j *completion.Job) { j.Stored = true }}, change...)...)
	job, err := s.Claim(t.Context(), job.Ref(), "w", now())
	require.NoError(t, err)
	job, err = s.Finish(t.Context(), job.Ref(), job.Attempt, completion.Outcome{State: completion.Completed, Result: []byte(`{"id":"x"}`), At: now()})
	require.NoError(t, err)
	return job
}

func storedList(t *testing.T, s *store.Store) {
	ids := []string{completion.NewJobID(), completion.NewJobID(), completion.NewJobID()}
	slices.Sort(ids) // those of one millisecond come in any order
	a := complete(t, s, func(j *completion.Job) {
		j.ID, j.Metadata = ids[0], map[string]string{"k": "v", "z": `"q"<,>{é}`}
	})
	b := complete(t, s, func(j *completion.Job) { j.ID, j.Metadata = ids[1], map[string]string{"k": "v2", `a"k`: "v"} })
	c := complete(t, s, func(j *completion.Job) { j.ID, j.Model = ids[2], "other" })
	complete(t, s, func(j *completion.Job) { j.Stored = false })
	complete(t, s, func(j *completion.Job) { j.Tenant = "other" })
	complete(t, s, func(j *completion.Job) { j.Endpoint = completion.EndpointResponses })
	add(t, s, func(j *completion.Job) { j.Stored = true })
	for name, row := range map[string]struct {
		query store.StoredQuery
		want  []string
		more  bool
	}{
		"All":        {store.StoredQuery{}, []string{a.ID, b.ID, c.ID}, false},
		"Newest":     {store.StoredQuery{Newest: true}, []string{c.ID, b.ID, a.ID}, false},
		"Page":       {store.StoredQuery{Limit: 2}, []string{a.ID, b.ID}, true},
		"After":      {store.StoredQuery{After: b.ID}, []string{c.ID}, false},
		"Before":     {store.StoredQuery{After: b.ID, Newest: true}, []string{a.ID}, false},
		"Model":      {store.StoredQuery{Model: "other"}, []string{c.ID}, false},
		"Pair":       {store.StoredQuery{Metadata: map[string]string{"k": "v"}}, []string{a.ID}, false},
		"Pairs":      {store.StoredQuery{Metadata: map[string]string{"k": "v", "z": `"q"<,>{é}`}}, []string{a.ID}, false},
		"OtherPairs": {store.StoredQuery{Metadata: map[string]string{"k": "v2", "z": `"q"<,>{é}`}}, []string{}, false},
		"Injection":  {store.StoredQuery{Metadata: map[string]string{"k": "' OR 1=1 --?"}}, []string{}, false},
	} {
		row.query.Endpoint = completion.EndpointChat
		page, more, err := s.ListStored(t.Context(), "acme", row.query)
		require.NoError(t, err, name)
		ids := []string{}
		for _, j := range page {
			ids = append(ids, j.ID)
			require.NotEmpty(t, j.Result, name)
		}
		require.Equal(t, row.want, ids, name)
		require.Equal(t, row.more, more, name)
	}
}

func storedChange(t *testing.T, s *store.Store) {
	job := complete(t, s)
	changed, err := s.SetMetadata(t.Context(), job.Ref(), map[string]string{"a": "\x00é"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "\x00é"}, changed.Metadata)
	changed, err = s.SetMetadata(t.Context(), job.Ref(), nil)
	require.NoError(t, err)
	require.Empty(t, changed.Metadata)
	running := add(t, s, func(j *completion.Job) { j.Stored = true })
	stranger := completion.Ref{Tenant: "other", Job: job.ID}
	plain := add(t, s)
	for _, ref := range []completion.Ref{stranger, plain.Ref(), {Tenant: "acme", Job: completion.NewJobID()}} {
		_, err = s.SetMetadata(t.Context(), ref, nil)
		require.ErrorIs(t, err, completion.ErrNotFound)
		require.ErrorIs(t, s.Unstore(t.Context(), ref), completion.ErrNotFound)
	}
	require.NoError(t, s.Unstore(t.Context(), job.Ref()))
	_, err = s.Get(t.Context(), job.Ref())
	require.ErrorIs(t, err, completion.ErrNotFound)

	require.NoError(t, s.Unstore(t.Context(), running.Ref()))
	kept := get(t, s, running)
	require.False(t, kept.Stored, "a job that has not ended is only hidden")
	_, err = s.Claim(t.Context(), running.Ref(), "w", time.Now())
	require.NoError(t, err)
}
