package talk_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// check compares what is there with what was accepted.
func (c *crowd) check() {
	t, ctx := c.t, c.t.Context()
	ref := completion.Ref{Tenant: tenant, Job: c.conversation[len(path)+1:]}
	now, err := c.back.Store.Conversation(ctx, ref)
	require.NoError(t, err)

	seqs := make([]int, 0, len(c.said))
	for id, m := range c.said {
		seqs = append(seqs, m.Seq)
		if m.Parent != "" {
			require.Less(t, c.said[m.Parent].Seq, m.Seq, "C1: %s", id)
			require.Contains(t, c.said, m.Parent, "C1: %s", id)
		}
		if m.Role == completion.RoleAssistant {
			require.Equal(t, completion.RoleUser, c.said[m.Parent].Role, "C1: %s", id)
		}
	}
	slices.Sort(seqs)
	for i, seq := range seqs {
		require.Equal(t, i+1, seq, "C1: none is missing, none is there twice (C2)")
	}
	require.Equal(t, len(seqs), now.Seq, "C4: what was refused has left nothing")

	there := c.there(ref)
	for id := range c.said {
		gone := false
		for up := id; up != ""; up = c.said[up].Parent {
			gone = gone || c.dropped[up]
		}
		require.Equal(t, !gone, there[id].ID != "", "C5: %s", id)
	}
	c.checkTurns(there)

	status, page := c.do(1, http.MethodGet, c.conversation+"/messages?limit=1", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, now.Head, page.Get("last_id").Str)
	for _, copied := range c.copies {
		status, page := c.do(0, http.MethodGet, copied+"/messages?limit=200", "")
		require.Equal(t, http.StatusOK, status)
		for i, m := range page.Get("data").Array() {
			require.EqualValues(t, i, m.Get("seq").Int()-page.Get("data.0.seq").Int())
			require.NotContains(t, c.said, m.Get("id").Str, "C2")
			require.NotContains(t, []string{"queued", "running"}, m.Get("state").Str)
		}
	}
	t.Logf("%d turns, %d messages, %d of them there, %d copies, name %q", len(c.turns), len(c.said), len(there), len(c.copies), now.Name)
	require.NotEmpty(t, c.copies)
	require.NotEmpty(t, c.dropped)
}

// there are all messages that are there, on all branches.
func (c *crowd) there(ref completion.Ref) map[string]completion.Message {
	all := map[string]completion.Message{}
	for below := []string{""}; len(below) > 0; {
		next, err := c.back.Store.Siblings(c.t.Context(), ref, below)
		require.NoError(c.t, err)
		below = nil
		for _, list := range next {
			for _, m := range list {
				whole, err := c.back.Store.Message(c.t.Context(), ref, m.ID)
				require.NoError(c.t, err)
				all[m.ID] = whole
				below = append(below, m.ID)
			}
		}
	}
	return all
}

// checkTurns compares answers with their jobs, and prompts with the paths.
func (c *crowd) checkTurns(there map[string]completion.Message) {
	type span struct{ from, to time.Time }
	var spans []span
	held := 0
	for _, id := range c.turns {
		job, err := c.back.Store.Get(c.t.Context(), completion.Ref{Tenant: tenant, Job: id})
		require.NoError(c.t, err)
		require.True(c.t, job.State.Final(), "C7: %s", id)
		if !job.StartedAt.IsZero() {
			spans = append(spans, span{job.StartedAt, job.FinishedAt})
			require.False(c.t, job.Held)
		}
		m, ok := there[id]
		if !ok {
			continue
		}
		require.Equal(c.t, job.State, m.State, "C8: %s", id)
		require.Equal(c.t, string(answer.Said(job.Result)), string(m.Content), "C8, I4: %s", id)
		if job.Held {
			held++
			continue
		}
		require.Equal(c.t, c.texts(there, m.Parent), prompted(job.Request), "C6: %s", id)
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	for i := 1; i < len(spans); i++ {
		require.False(c.t, spans[i].from.Before(spans[i-1].to), "C3: a turn began at %s, before the one before it ended at %s", spans[i].from, spans[i-1].to)
	}
	c.t.Logf("%d turns ran, %d answers never began", len(spans), held)
}

// texts are what the path down to a message says.
func (c *crowd) texts(there map[string]completion.Message, upto string) []string {
	var texts []string
	for id := upto; id != ""; {
		m, ok := there[id]
		require.True(c.t, ok, "C5: what comes before %s is there", upto)
		if text := m.Text(); text != "" {
			texts = append(texts, string(m.Role)+": "+text)
		}
		id = m.Parent
	}
	slices.Reverse(texts)
	return append([]string{"system: S"}, texts...)
}

// prompted are the texts of a prompt.
func prompted(request json.RawMessage) []string {
	var texts []string
	for _, m := range gjson.GetBytes(request, "messages").Array() {
		texts = append(texts, m.Get("role").Str+": "+m.Get("content").Str)
	}
	return texts
}
