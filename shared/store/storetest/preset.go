package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func presetSet(t *testing.T, s *store.Store) {
	cold, warm := 0.0, 1.5
	set := func(tenant string, p completion.Preset) {
		t.Helper()
		require.NoError(t, s.SetPreset(t.Context(), tenant, p, now()))
	}
	holds := func(tenant string, want completion.Preset) {
		t.Helper()
		p, err := s.Preset(t.Context(), tenant)
		require.NoError(t, err)
		require.Equal(t, want, p)
	}
	holds("acme", completion.Preset{})
	every := completion.Preset{System: "Be brief.", Parameters: completion.Parameters{Model: "m", Temperature: &warm, Stop: []string{"\n"}}}
	set(completion.EveryTenant, every)
	set("acme", completion.Preset{System: "Not for long \x00."})
	set("acme", completion.Preset{Parameters: completion.Parameters{Temperature: &cold, Stop: []string{}}})
	holds("other", every)
	holds("acme", completion.Preset{System: "Be brief.", Parameters: completion.Parameters{Model: "m", Temperature: &cold, Stop: []string{}}})

	own, err := s.Presets(t.Context(), "acme", "other")
	require.NoError(t, err)
	require.Equal(t, map[string]completion.Preset{
		"acme": {Parameters: completion.Parameters{Temperature: &cold, Stop: []string{}}},
	}, own)
	set("acme", completion.Preset{})
	set("acme", completion.Preset{})
	holds("acme", every)
	own, err = s.Presets(t.Context(), "acme")
	require.NoError(t, err)
	require.Empty(t, own)
}
