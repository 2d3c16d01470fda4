package e2e_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// TestConversationsPage_CommandsDoRun follows docs/conversations.md on another port.
func TestConversationsPage_CommandsDoRun(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.up(t)
	var said []string
	for _, block := range shellBlocks(t, "deployments/docs/conversations.md") {
		said = append(said, shell(i.here(block)).succeed(t))
	}
	require.Len(t, said, 3, "a new block needs its lines here")
	lines := func(n int) []string { return strings.Split(strings.TrimSpace(said[n]), "\n") }
	require.Contains(t, said[0], "event: completed")
	path := gjson.Parse(lines(0)[len(lines(0))-1])
	require.JSONEq(t, `["user","assistant"]`, path.Get("data.#.role").Raw, said[0])
	require.Contains(t, path.Get("data.1.content").Str, "How do I boil an egg?")
	require.Equal(t, "Eggs", gjson.Get(lines(1)[0], "name").Str, said[1])
	require.Equal(t, path.Get("data.1.id").Str, gjson.Get(lines(1)[0], "head").Str, "back on the first branch")
	require.Equal(t, "1", gjson.Get(lines(1)[1], "rating").Raw, said[1])
	require.Contains(t, gjson.Get(strings.TrimPrefix(lines(2)[1], "data: "), "result.choices.0.message.content").Str, "question 3", said[2])
	require.Equal(t, "Eggs, again", gjson.Get(lines(2)[2], "name").Str, said[2])
	require.True(t, gjson.Get(lines(2)[3], "deleted").Bool(), said[2])
}
