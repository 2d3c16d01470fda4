package request_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// parsers read the bodies of conversations, by what they are for.
var parsers = map[string]func(body []byte) error{
	"turn":         func(b []byte) error { _, err := request.ParseTurn(b); return err },
	"again":        func(b []byte) error { _, err := request.ParseAgain(b); return err },
	"aside":        func(b []byte) error { _, err := request.ParseAside(b); return err },
	"conversation": func(b []byte) error { _, err := request.ParseConversation(b); return err },
	"change":       func(b []byte) error { _, err := request.ParseChange(b); return err },
	"clone":        func(b []byte) error { _, err := request.ParseClone(b); return err },
	"suggestions":  func(b []byte) error { _, err := request.ParseSuggestions(b); return err },
	"rating":       func(b []byte) error { _, err := request.ParseRating(b); return err },
	"nothing":      request.ParseNothing,
}

func TestParse_Talk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, body, param string }{
		{"turn", `{"content":"hi"}`, ""},
		{"turn", `{"content":[{"type":"text","text":"hi"}],"policy":"rollback","metadata":{"k":"v"},"timeout":1.5,"parameters":null}`, ""},
		{"turn", `{}`, "content"},
		{"turn", `{"content":null}`, "content"},
		{"turn", `{"content":" "}`, "content"},
		{"turn", `{"content":7}`, "content"},
		{"turn", `{"content":[]}`, "content"},
		{"turn", `{"content":["x"]}`, "content[0]"},
		{"turn", `{"content":[{"type":"text","text":""},{}]}`, "content[1]"},
		{"turn", `{"content":[{"type":"text"}]}`, "content[0].text"},
		{"turn", `{"content":[{"type":"audio"},{"type":"text","text":5}]}`, "content[1].text"},
		{"turn", `{"content":[{"type":"image_url","image_url":{"url":"https://example.org/a.png"}},{"type":"file","file":{"file_id":"x"}}]}`, ""},
		{"turn", `{"content":[{"type":"image_url"}]}`, "content[0].image_url.url"},
		{"turn", `{"content":[{"type":"image_url","image_url":"x"}]}`, "content[0].image_url.url"},
		{"turn", `{"content":[{"type":"image_url","image_url":{"url":""}}]}`, "content[0].image_url.url"},
		{"turn", `{"content":"a\u0000"}`, "content"},
		{"turn", `{"content":"x","policy":"wait"}`, "policy"},
		{"turn", `{"content":"x","policy":1}`, "policy"},
		{"turn", `{"content":"x","timeout":0}`, "timeout"},
		{"turn", `{"content":"x","timeout":604801}`, "timeout"},
		{"turn", `{"content":"x","metadata":{"k":1}}`, "metadata.k"},
		{"turn", `{"content":"x","content":"y"}`, "content"},
		{"turn", `{"content":"x","branch":"y"}`, "branch"},
		{"again", `{"content":"x"}`, "content"},
		{"again", ``, ""},
		{"turn", `{"content":"x","parameters":{"temperature":2,"top_p":1,"presence_penalty":-2,"frequency_penalty":2,"stop":["a","b","c","d"],"max_completion_tokens":1,"seed":-1,"reasoning_effort":"low","context_messages":1,"context_tokens":1,"model":"m"}}`, ""},
		{"turn", `{"content":"x","parameters":{"temperature":2.1}}`, "parameters.temperature"},
		{"turn", `{"content":"x","parameters":{"temperature":"1"}}`, "parameters.temperature"},
		{"turn", `{"content":"x","parameters":{"temperature":1e999}}`, "parameters.temperature"},
		{"turn", `{"content":"x","parameters":{"presence_penalty":-2.5}}`, "parameters.presence_penalty"},
		{"turn", `{"content":"x","parameters":{"stop":["1","2","3","4","5"]}}`, "parameters.stop"},
		{"turn", `{"content":"x","parameters":{"stop":[1]}}`, "parameters.stop[0]"},
		{"turn", `{"content":"x","parameters":{"stop":"x"}}`, "parameters.stop"},
		{"turn", `{"content":"x","parameters":{"Temperature":1}}`, "parameters.Temperature"},
		{"turn", `{"content":"x","parameters":{"seed":1e3}}`, "parameters.seed"},
		{"turn", `{"content":"x","parameters":{"seed":99999999999999999999}}`, "parameters.seed"},
		{"turn", `{"content":"x","parameters":{"context_messages":-1}}`, "parameters.context_messages"},
		{"turn", `{"content":"x","parameters":[]}`, "parameters"},
		{"aside", `{"content":"x","policy":"queue"}`, "policy"},
		{"aside", `{}`, "content"},
		{"conversation", ``, ""},
		{"conversation", `{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}`, ""},
		{"conversation", `{"messages":[{"role":"system","content":"x"}]}`, "messages[0].role"},
		{"conversation", `{"messages":[{"role":"user"}]}`, "messages[0].content"},
		{"conversation", `{"messages":[{"role":"assistant","content":[{"type":"text","text":"x"}]}]}`, "messages[0].content"},
		{"conversation", `{"messages":{}}`, "messages"},
		{"conversation", `{"messages":[{"role":"user","content":"x","name":"y"}]}`, "messages[0].name"},
		{"conversation", `{"messages":[7]}`, "messages[0]"},
		{"conversation", `{"messages":[` + strings.Repeat(`{"role":"user","content":"x"},`, 1000) + `{"role":"user","content":"x"}]}`, "messages"},
		{"conversation", `{"name":"` + strings.Repeat("é", 201) + `"}`, "name"},
		{"conversation", `{"owner":"` + strings.Repeat("é", 65) + `"}`, "owner"},
		{"conversation", `{"branch":"x"}`, "branch"},
		{"change", `{"branch":"x","name":"","system":""}`, ""},
		{"change", `{"branch":7}`, "branch"},
		{"change", ``, "*"},
		{"change", `[]`, "*"},
		{"clone", `{"message":"x"}`, ""},
		{"clone", `{"messages":"x"}`, "messages"},
		{"suggestions", `{"count":5}`, ""},
		{"suggestions", `{"count":6}`, "count"},
		{"suggestions", `{"count":1.5}`, "count"},
		{"rating", `{"rating":-1,"comment":"x"}`, ""},
		{"rating", `{}`, "rating"},
		{"rating", `{"rating":0.5}`, "rating"},
		{"rating", `{"rating":1,"comment":"` + strings.Repeat("x", 2001) + `"}`, "comment"},
		{"nothing", ``, ""},
		{"nothing", `{}`, ""},
		{"nothing", `{"x":1}`, "x"},
	} {
		err := parsers[c.what]([]byte(c.body))
		if c.param == "" {
			require.NoError(t, err, "%s %s", c.what, c.body)
			continue
		}
		require.Error(t, err, "%s %s", c.what, c.body)
		if c.param != "*" {
			require.Equal(t, c.param, completion.AsError(err).Param, "%s %s", c.what, c.body)
		}
	}
}

func TestParse_Talk_Nothing(t *testing.T) {
	t.Parallel()
	require.NoError(t, request.ParseNothing([]byte(`{}`)))
	require.ErrorContains(t, request.ParseNothing([]byte(`{"x":1}`)), `The field "x" is unknown; there is none.`)
}

func TestParse_Talk_Values(t *testing.T) {
	t.Parallel()
	turn, err := request.ParseTurn([]byte(`{"content": "hi", "parameters":{"stop":[],"temperature":0}}`))
	require.NoError(t, err)
	require.Equal(t, `"hi"`, string(turn.Content))
	require.NotNil(t, turn.Parameters.Stop, "an empty list says: none")
	require.Zero(t, *turn.Parameters.Temperature)
	change, err := request.ParseChange([]byte(`{"name":"","parameters":{}}`))
	require.NoError(t, err)
	require.Empty(t, *change.Name)
	require.Nil(t, change.System)
	require.Equal(t, &completion.Parameters{}, change.Parameters)
	count, err := request.ParseSuggestions(nil)
	require.NoError(t, err)
	require.Equal(t, 3, count)
	_, err = request.ParseParameters(`{"temperature":3}`, "")
	require.Equal(t, "temperature", completion.AsError(err).Param)
}

// FuzzParse_Talk: whatever is accepted is valid JSON that can be sent on, and whatever is not is the client's fault.
func FuzzParse_Talk(f *testing.F) {
	for _, s := range []string{
		`{"content":"x","policy":"queue","parameters":{"stop":["a"],"seed":1},"metadata":{"k":"v"},"timeout":1}`, `{"content":[{"type":"text","text":"\u00e9"}]}`,
		`{"name":"n","system":"s","owner":"o","messages":[{"role":"user","content":"x"}],"branch":"b"}`, `{"rating":-1,"comment":"c"}`, `{"count":2}`, ``, `[]`, `{"a":`, `{"content":"\ud800"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for what, parse := range parsers {
			if err := parse([]byte(body)); err != nil {
				code := completion.AsError(err).Code
				require.Contains(t, []completion.Code{completion.CodeInvalidRequest, completion.CodeInvalidJSON}, code, what)
			}
		}
		if turn, err := request.ParseTurn([]byte(body)); err == nil {
			require.True(t, json.Valid(turn.Content))
			require.Contains(t, `"[`, string(turn.Content[0]))
			require.NoError(t, turn.Parameters.Validate(""))
		}
	})
}
