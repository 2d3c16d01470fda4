package talk

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// thread is a path of messages that say their numbers, from 1: a user's, an answer, and so on. Answers of those in silent say
// nothing.
func thread(n int, silent ...int) []completion.Message {
	list := make([]completion.Message, 0, n)
	for i := 1; i <= n; i++ {
		m := completion.Message{ID: fmt.Sprint(i), Role: completion.RoleUser, State: completion.Completed, Content: quote(fmt.Sprint(i))}
		if i > 1 {
			m.Parent = fmt.Sprint(i - 1)
		}
		if i%2 == 0 {
			m.Role = completion.RoleAssistant
		}
		if slices.Contains(silent, i) {
			m.State, m.Content = completion.Failed, nil
		}
		list = append(list, m)
	}
	return list
}

// reader reads a thread.
func reader(list []completion.Message) path {
	return func(_ context.Context, from string, limit int) ([]completion.Message, error) {
		at := slices.IndexFunc(list, func(m completion.Message) bool { return m.ID == from })
		return list[max(0, at+1-limit) : at+1], nil
	}
}

// some are the numbers from the first to the last, of which step is the distance.
func some(first, last, step int) (list []int) {
	for i := first; i <= last; i += step {
		list = append(list, i)
	}
	return list
}

func joined(numbers []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ",")
}

func TestPrompt_C6_Fits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		said     []completion.Message
		system   string
		messages int
		tokens   int
		want     string
	}{
		"nothing before":           {nil, "S", 10, 1000, "S,x"},
		"all":                      {thread(4), "S", 10, 1000, "S,1,2,3,4,x"},
		"no system":                {thread(2), "", 10, 1000, "1,2,x"},
		"the latest":               {thread(6), "S", 3, 1000, "S,5,6,x"},
		"the question only":        {thread(6), "S", 1, 1000, "S,x"},
		"silent ones do not count": {thread(8, 4, 8), "", 5, 1000, "3,5,6,7,x"},
		"tokens":                   {thread(6), "S", 10, 4 * 5, "S,5,6,x"},
		"one token short":          {thread(6), "S", 10, 4*5 - 1, "S,6,x"},
		"the question is too long": {thread(6), "S", 10, 1, "S,x"},
		"many pages":               {thread(1000), "", 451, 1 << 20, joined(some(551, 1000, 1)) + ",x"},
		"many silent pages":        {thread(1000, some(2, 1000, 2)...), "", 10_000, 1 << 20, joined(some(1, 1000, 2)) + ",x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			above := ""
			if n := len(c.said); n > 0 {
				above = c.said[n-1].ID
			}
			p := &prompt{
				parameters: completion.Parameters{Model: "m", ContextMessages: c.messages, ContextTokens: c.tokens}, system: c.system, above: above,
				last: []saying{{completion.RoleUser, quote("x")}},
			}
			request, err := p.render(t.Context(), reader(c.said))
			require.NoError(t, err)
			require.True(t, json.Valid(request), string(request))
			require.Equal(t, c.want, strings.Join(texts(request), ","))
			require.Equal(t, "m", gjson.GetBytes(request, "model").Str)
			require.False(t, gjson.GetBytes(request, "context_tokens").Exists(), "it is for us")
		})
	}
}

// What was said is sent byte for byte as it was said, with whatever parameters.
func TestPrompt_I4_Bytes(t *testing.T) {
	t.Parallel()
	hot, most := 1.5, 7
	content := json.RawMessage(`[{"type":"text","text":"\u00e9 <b>"},{"type":"image_url","image_url":{"url":"data:,"}}]`)
	p := &prompt{
		parameters: completion.Parameters{Model: `m"\`, Temperature: &hot, MaxTokens: &most, Stop: []string{"<"}}, system: "a\nb",
		last: []saying{{completion.RoleUser, content}},
	}
	request := p.body([]saying{{completion.RoleAssistant, json.RawMessage(`"\u2028 \ud83d\ude00 é"`)}})
	require.Contains(t, string(request), `"content":`+string(content))
	require.Contains(t, string(request), `{"role":"assistant","content":"\u2028 \ud83d\ude00 é"}`)
	var read map[string]any
	require.NoError(t, json.Unmarshal(request, &read))
	require.Equal(t, `m"\`, read["model"])
	require.EqualValues(t, 7, read["max_completion_tokens"])
	require.Equal(t, []any{"<"}, read["stop"])
	require.Equal(t, tokensPerMessage+2+tokensPerPart, weight(content))
}

func TestName_Clean(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"": "", "  \n ": "", "A name": "A name", "\"A name.\"": "A name", "**“A name…”**\nmore": "A name", "\n\n# Title\n": "Title", "a\tb  c": "a b c",
		"«Été»": "Été", "...": "", `"'`: "", "What is it?": "What is it?", strings.Repeat("é", 61): strings.Repeat("é", 59) + "…",
	} {
		require.Equal(t, want, cleanName(answer), "%q", answer)
	}
}

func FuzzName_Clean(f *testing.F) {
	for _, s := range []string{"A", "\"x\".", "\xff", "\u0000", "a\r\nb", strings.Repeat("“", 99)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		name := cleanName(answer)
		require.LessOrEqual(t, len([]rune(name)), maxName)
		require.NotContains(t, name, "\n")
		require.Equal(t, name, strings.TrimSpace(name))
	})
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	live := []completion.Job{{ID: "a"}, {ID: "b"}}
	for _, c := range []struct {
		act   act
		asked completion.Policy
		live  []completion.Job
		want  []string
		code  completion.Code
	}{
		{say, "", nil, nil, ""},
		{say, "", live, nil, ""},
		{edit, "", live, []string{"a", "b"}, ""},
		{again, "", live, []string{"a", "b"}, ""},
		{edit, completion.PolicyQueue, live, nil, ""},
		{say, completion.PolicyInterrupt, live, []string{"a", "b"}, ""},
		{say, completion.PolicyRollback, live, []string{"a", "b"}, ""},
		{say, completion.PolicyRollback, nil, nil, ""},
		{say, completion.PolicyReject, nil, nil, ""},
		{say, completion.PolicyReject, live, nil, completion.CodeTurn},
		{again, completion.PolicyReject, live, nil, completion.CodeTurn},
	} {
		got, err := cancels(c.act.policy(c.asked), c.live)
		require.Equal(t, c.want, got, "%+v", c)
		if c.code == "" {
			require.NoError(t, err)
		} else {
			require.Equal(t, c.code, completion.AsError(err).Code)
		}
	}
}

// texts are what the messages of a prompt say.
func texts(request json.RawMessage) (list []string) {
	for _, m := range gjson.GetBytes(request, "messages").Array() {
		list = append(list, m.Get("content").Str)
	}
	return list
}
