package storetest

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func models(t *testing.T, s *store.Store, at time.Time, known ...string) []completion.ModelList {
	t.Helper()
	lists, err := s.Models(t.Context(), at, known...)
	require.NoError(t, err)
	return lists
}

func modelsRoundTrip(t *testing.T, s *store.Store) {
	at := now()
	require.Empty(t, models(t, s, at))
	nasty := json.RawMessage("[{\"id\" : \"a'?\\u0000é😀\"}]")
	require.NoError(t, s.SetModels(t.Context(), completion.ModelList{Upstream: "b", SeenAt: at}))
	require.NoError(t, s.SetModels(t.Context(), completion.ModelList{Upstream: "a'?\x00", Models: nasty, SeenAt: at}))
	lists := models(t, s, at)
	require.Len(t, lists, 2)
	require.Equal(t, completion.ModelList{Upstream: "a'?\uFFFD", Models: nasty, Digest: lists[0].Digest, SeenAt: at}, lists[0])
	require.Len(t, lists[0].Digest, 64)
	require.Equal(t, completion.ModelList{Upstream: "b", SeenAt: at}, lists[1], "does not say")

	again := models(t, s, at, "?", lists[0].Digest)
	require.Nil(t, again[0].Models, "known already")
	require.Equal(t, lists[0].Digest, again[0].Digest)
}

func modelsReplace(t *testing.T, s *store.Store) {
	at := now()
	set := func(list string, at time.Time) completion.ModelList {
		require.NoError(t, s.SetModels(t.Context(), completion.ModelList{Upstream: "u", Models: json.RawMessage(list), SeenAt: at}))
		lists := models(t, s, at)
		require.Len(t, lists, 1)
		require.Equal(t, at, lists[0].SeenAt)
		require.Equal(t, list, string(lists[0].Models))
		return lists[0]
	}
	first := set(`[{"id":"a"}]`, at)
	require.Equal(t, first.Digest, set(`[{"id":"a"}]`, at.Add(time.Second)).Digest)
	require.NotEqual(t, first.Digest, set(`[{"id":"b"}]`, at.Add(2*time.Second)).Digest)
	require.Empty(t, set(``, at.Add(3*time.Second)).Digest, "it does not say any more")
	require.NoError(t, s.SetModels(t.Context(), completion.ModelList{Upstream: "u", Native: true, SeenAt: at.Add(3 * time.Second)}))
	require.True(t, models(t, s, at)[0].Native, "only that is new")
	require.Equal(t, first.Digest, set(`[{"id":"a"}]`, at.Add(4*time.Second)).Digest)
}

func modelsAge(t *testing.T, s *store.Store) {
	at := now()
	require.NoError(t, s.SetModels(t.Context(), completion.ModelList{Upstream: "old", Models: []byte(`[]`), SeenAt: at}))
	later := at.Add(completion.ModelListAge)
	require.Len(t, models(t, s, later), 1)
	require.Empty(t, models(t, s, later.Add(time.Second)), "counts no more")
	require.NoError(t, s.SetModels(t.Context(), completion.ModelList{Upstream: "new", SeenAt: later.Add(time.Second)}))
	lists := models(t, s, at)
	require.Len(t, lists, 1, "the old one is forgotten")
	require.Equal(t, "new", lists[0].Upstream)
}

// modelsAtOnce: workers of one upstream write the same list.
func modelsAtOnce(t *testing.T, s *store.Store) {
	at := now()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			list := completion.ModelList{Upstream: "u", Models: []byte(`[{"id":"a"}]`), SeenAt: at.Add(time.Duration(i) * time.Second)}
			if err := s.SetModels(t.Context(), list); err != nil {
				t.Errorf("set models: %v", err)
			}
		})
	}
	wg.Wait()
	require.Len(t, models(t, s, at), 1)
}
