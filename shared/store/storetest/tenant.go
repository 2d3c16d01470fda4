package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// tenantWalls: to another tenant a job is as good as missing, whatever is asked of it.
func tenantWalls(t *testing.T, s *store.Store) {
	job := claim(t, s, add(t, s), "w1")
	for name, ref := range map[string]completion.Ref{
		"another's": {Tenant: "other", Job: job.ID},
		"missing":   {Tenant: job.Tenant, Job: "job_0"},
		"nonsense":  {Tenant: job.Tenant, Job: "x' OR 1=1 --\x00\xff?0"},
		"nobody's":  {Job: job.ID},
	} {
		_, err := s.Get(t.Context(), ref)
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.Claim(t.Context(), ref, "w1", now())
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		err = s.Retry(t.Context(), ref, 1, completion.Retry{Outcome: outcome(completion.Queued)})
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, err = s.Finish(t.Context(), ref, 1, outcome(completion.Completed))
		require.ErrorIs(t, err, completion.ErrNotFound, name)
		_, _, err = s.Cancel(t.Context(), ref, now())
		require.ErrorIs(t, err, completion.ErrNotFound, name)
	}
	page, _, err := s.List(t.Context(), "other", store.Query{})
	require.NoError(t, err)
	require.Empty(t, page)
	page, _, err = s.List(t.Context(), "other", store.Query{After: job.ID, Oldest: true})
	require.NoError(t, err)
	require.Empty(t, page, "another's id as a cursor")
	require.Equal(t, job, get(t, s, job), "nothing changed")
}
