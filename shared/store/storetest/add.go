package storetest

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func addRoundTrip(t *testing.T, s *store.Store) {
	nasty := json.RawMessage("{\"a\" : \"\\u0000 \\ud83d '\\\\' ? ?0 {{.}} é😀\\n\", \"n\":1.50e3}")
	want := add(t, s, func(j *completion.Job) {
		j.Request, j.Model, j.Lane = nasty, `m'"?\é😀`, completion.LaneBatch
		j.Metadata = map[string]string{"k'": `v"?\é`, "": "empty", "nul": "a\x00b", "text": `\u0000`}
		j.IdempotencyKey, j.BodyHash, j.RequestID = "k?'", "h", "req_1"
		j.Endpoint, j.Stored = completion.EndpointEmbeddings, true
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

func addManyAtOnce(t *testing.T, s *store.Store) { manyAtOnce(t, s.Add) }

func groupAddManyAtOnce(t *testing.T, s *store.Store) { manyAtOnce(t, s.Group().Add) }

func manyAtOnce(t *testing.T, add func(context.Context, *completion.Job) (completion.Job, bool, error)) {
	var made atomic.Int32
	ids := make([]string, 32)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			at := now()
			job := completion.Job{ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneBatch, State: completion.Queued, Model: "m", Request: []byte(`{}`), IdempotencyKey: "k", BodyHash: "h", CreatedAt: at, UpdatedAt: at}
			stored, created, err := add(t.Context(), &job)
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

// addNames: a name may be anything that JSON can say; what text columns refuse is replaced, not the job.
func addNames(t *testing.T, s *store.Store) {
	job := add(t, s, func(j *completion.Job) { j.Model = "m\x00\xff'" })
	require.Equal(t, "m\uFFFD\uFFFD'", job.Model)
	require.Equal(t, job, get(t, s, job))
	page, _, err := s.List(t.Context(), job.Tenant, store.Query{Model: "m\x00\xff'"})
	require.NoError(t, err)
	require.Equal(t, []string{job.ID}, ids(page))
	require.NoError(t, s.Beat(t.Context(), "w\x00", nil, now()))
	_, err = s.Claim(t.Context(), job.Ref(), "w\x00", now())
	require.NoError(t, err)
	o := outcome(completion.Completed)
	o.FinishReason = "stop\x00\xff"
	done, err := s.Finish(t.Context(), job.Ref(), 1, o)
	require.NoError(t, err)
	require.Equal(t, "stop\uFFFD\uFFFD", done.FinishReason)
}
