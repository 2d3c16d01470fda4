package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func nativeList(upstream, models string) completion.ModelList {
	l := listOf(upstream, models)
	l.Native = true
	return l
}

func TestCatalog_Native(t *testing.T) {
	t.Parallel()
	mixed := New(setup(t, nativeList("a", `[{"id":"gpt"},{"id":"both"}]`), listOf("b", `[{"id":"llama"},{"id":"both"}]`)), true)
	for name, want := range map[string]bool{"gpt": true, "gpt:x": true, "llama": false, "both": false, "other": false} {
		require.Equal(t, want, mixed.Native(t.Context(), name), name)
	}
	for name, c := range map[string]*Catalog{
		"all are":         New(setup(t, nativeList("a", `[{"id":"gpt"}]`)), true),
		"it does not say": New(setup(t, nativeList("a", "")), false),
	} {
		require.True(t, c.Native(t.Context(), "other"), name)
	}
	for name, c := range map[string]*Catalog{
		"nothing known":           New(setup(t), false),
		"another does not say":    New(setup(t, nativeList("a", `[{"id":"gpt"}]`), listOf("b", "")), false),
		"the store is away":       New(&counter{err: completion.NewError(completion.CodeUnavailable, "")}, false),
		"the same, but not alike": New(setup(t, nativeList("a", `[{"id":"gpt"}]`), listOf("b", `[{"id":"gpt"}]`)), false),
	} {
		require.False(t, c.Native(t.Context(), "gpt"), name)
	}
}

// TestCatalog_NativeChanges has an upstream turn native whose models stay the same.
func TestCatalog_NativeChanges(t *testing.T) {
	t.Parallel()
	s := setup(t, listOf("a", `[{"id":"gpt"}]`))
	c := New(s, false)
	require.False(t, c.Native(t.Context(), "gpt"))
	require.NoError(t, s.SetModels(t.Context(), nativeList("a", `[{"id":"gpt"}]`)))
	_, err := c.ask(t.Context())
	require.NoError(t, err)
	require.True(t, c.Native(t.Context(), "gpt"))
	require.NoError(t, c.Check(t.Context(), "gpt"))
}
