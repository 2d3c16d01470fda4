package e2e_test

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

const conversationID = `conv_[0-9a-f]{32}`

// chatPiped is what a script does: each line is answered before the next one is read.
func (i *installation) chatPiped(t *testing.T) {
	t.Parallel()
	chat := i.sluice("chat", "--system", "be brief", "--owner", "piped")
	chat.in = "one\n\ntwo \\\nlines\n//three\n"
	p := chat.run(t)
	require.Zero(t, p.code(t), "%s", p)
	first := modelsim.Answer("be brief", "one")
	second := modelsim.Answer("be brief", "one", first, "two \nlines")
	third := modelsim.Answer("be brief", "one", first, "two \nlines", second, "/three")
	require.Equal(t, first+"\n"+second+"\n"+third+"\n", p.out.String())
	require.Regexp(t, "^"+conversationID+"\n$", p.err.String())
	id := strings.TrimSpace(p.err.String())

	again := i.sluice("chat", "--conversation", id)
	again.in = "/edit four\n/regenerate\n/branches\n/branch 1\n/name Numbers\n"
	p = again.run(t)
	require.Zero(t, p.code(t), "%s", p)
	fourth := modelsim.Answer("be brief", "one", first, "two \nlines", second, "four")
	require.True(t, strings.HasPrefix(p.out.String(), fourth+"\n"+fourth+"\n"), "%s", p)
	require.Regexp(t, `1 +user +/three\n2 +\* +user +four\n3 +assistant +This is .*\n4 +\* +assistant +This is .*…\n`, p.out.String())
	require.True(t, strings.HasSuffix(p.out.String(), third+"\n"), "the other branch: %s", p)
	require.Contains(t, p.err.String(), "Numbers\n")

	require.Regexp(t, id+` +\d{4}-.* +piped +Numbers +\n`, i.sluice("conversations", "list", "--owner", "piped").succeed(t))
	require.Regexp(t, id+` .*…?four`, i.sluice("conversations", "list", "--search", "FOUR", "--limit", "1").succeed(t))
	require.Equal(t, "Numbers", gjson.Get(i.sluice("conversations", "get", id).succeed(t), "name").Str)
	require.Equal(t, "# Numbers\n\n> be brief\n\n## User\n\none\n\n## Assistant (sim)\n\n"+first+"\n\n## User\n\ntwo \nlines\n\n## Assistant (sim)\n\n"+second+
		"\n\n## User\n\n/three\n\n## Assistant (sim)\n\n"+third+"\n", i.sluice("conversations", "export", id).succeed(t))
	var whole struct {
		client.Conversation
		Messages []client.Message
	}
	require.NoError(t, json.Unmarshal([]byte(i.sluice("conversations", "export", "--format", "json", id).succeed(t)), &whole))
	require.Equal(t, id, whole.ID)
	require.Len(t, whole.Messages, 6)
	branch := i.sluice("conversations", "export", "--branch", whole.Messages[4].Siblings[1], id).succeed(t)
	require.Contains(t, branch, "\n\nfour\n\n")
	require.NotContains(t, branch, "/three")

	require.Equal(t, id+" is deleted\n", i.sluice("conversations", "delete", id).succeed(t))
	for _, args := range [][]string{{"conversations", "get", id}, {"conversations", "export", id}, {"conversations", "delete", id}, {"chat", "--conversation", id}} {
		p := i.sluice(args...).run(t)
		require.Equal(t, 1, p.code(t), "%s", p)
		require.Contains(t, p.err.String(), "404 not_found")
	}
}

func (i *installation) chatInterrupted(t *testing.T) {
	t.Parallel()
	chat := i.sluice("chat", "--model", "sim?tokens=100000")
	chat.in = prompt + "\nnobody reads this\n"
	p := chat.start(t)
	id := p.await(t, conversationID)[0]
	p.await(t, "This is a simulated")
	p.signal(t, syscall.SIGINT)
	require.Equal(t, 130, p.code(t), "%s", p)
	said, more, err := i.api(t).Messages(t.Context(), id, client.MessageQuery{})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, said, 2)
	require.Equal(t, completion.Cancelled, said[1].State)
	require.True(t, strings.HasPrefix(said[1].Text(), "This is a simulated"))
}

func (i *installation) chatFails(t *testing.T) {
	t.Parallel()
	chat := i.sluice("chat", "--model", "sim?fail=400")
	chat.in = prompt + "\nnobody reads this\n"
	p := chat.run(t)
	require.Equal(t, 1, p.code(t))
	require.Contains(t, p.err.String(), "upstream_rejected")
	for _, line := range []string{"/nothing", "/edit x", "/branch 1"} {
		chat := i.sluice("chat")
		chat.in = line + "\n"
		require.Equal(t, 1, chat.run(t).code(t), line)
	}
	require.Equal(t, 2, i.sluice("chat", "--conversation", "conv_1", "--system", "x").run(t).code(t), "it has one, or none")
}
