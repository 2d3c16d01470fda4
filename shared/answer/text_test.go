package answer

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

var textChunks = []string{
	`{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"index":0,"text":"he","logprobs":{"tokens":["he"],"token_logprobs":[null],"top_logprobs":[{"index":-1,"x":-2}],"text_offset":[0]},"finish_reason":null}]}`,
	`{"id":"cmpl-1","object":"text_completion","created":8,"model":"m","choices":[{"index":0,"text":"llo","logprobs":{"tokens":["l","lo"],"token_logprobs":[-0.5,-1],"top_logprobs":[{"index":-1},null],"text_offset":[2,3]},"finish_reason":null}]}`,
	`{"id":"cmpl-1","object":"text_completion","created":8,"model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]}`,
	`{"id":"cmpl-1","object":"text_completion","created":8,"model":"m","choices":[],"usage":{"total_tokens":3}}`,
}

const textWhole = `{"id":"cmpl-1","object":"text_completion","created":7,"model":"m","choices":[{"index":0,"text":"hello",` +
	`"logprobs":{"tokens":["he","l","lo"],"token_logprobs":[null,-0.5,-1],"top_logprobs":[{"index":-1,"x":-2},{"index":-1},null],"text_offset":[0,2,3]},` +
	`"finish_reason":"stop"}],"usage":{"total_tokens":3}}`

func TestAnswer_TextCompletion(t *testing.T) {
	t.Parallel()
	a, slim := fold(t, textChunks...)
	require.Equal(t, textWhole, string(a.Completion()))                                                     //nolint:testifylint // byte for byte is the point
	require.Equal(t, `{"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]}`, slim[2]) //nolint:testifylint // byte for byte is the point
	require.Equal(t, "stop", a.FinishReason())

	again, _ := fold(t)
	for _, c := range Restate(a.Completion()) {
		require.Equal(t, "text_completion", gjson.GetBytes(c, "object").Str)
		_, err := again.Add(c)
		require.NoError(t, err)
	}
	require.Equal(t, textWhole, string(again.Completion())) //nolint:testifylint // byte for byte is the point

	_, covered, ok := again.Rest(a)
	require.True(t, covered && ok, "restated, it is the same")
}

func TestAnswer_TextCompletion_NothingSaid(t *testing.T) {
	t.Parallel()
	a, _ := fold(t, `{"object":"text_completion","choices":[{"index":0}]}`)
	require.JSONEq(t, `{"object":"text_completion","choices":[{"index":0,"text":"","finish_reason":null}]}`, string(a.Completion()))
}

func TestSplit_TextCompletion(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`ab\n\u00e9\ud83d\ude00é😀`, 20_000)
	tops := strings.TrimSuffix(strings.Repeat(`{"index":-1},`, 20_000), ",")
	whole := `{"id":"c","object":"text_completion","choices":[{"index":0,"text":"` + text + `","logprobs":{"top_logprobs":[` + tops + `]},"finish_reason":"stop"}]}`
	require.Equal(t, whole, string(folded(t, Split(json.RawMessage(whole))).Completion()))
	require.Equal(t, whole, string(folded(t, Restate(json.RawMessage(whole))).Completion()))
}

func TestAnswer_Whole(t *testing.T) {
	t.Parallel()
	a, _ := fold(t, `{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":"stop"}]}`)
	for request, want := range map[string]bool{
		`{}`:                                  true,
		`{"n":2}`:                             true,
		`{"n":3}`:                             false,
		`{"n":0}`:                             true,
		`{"prompt":"hello"}`:                  true,
		`{"prompt":["a","b"]}`:                true,
		`{"prompt":["a","b"],"n":2}`:          false,
		`{"prompt":["a","b","c"]}`:            false,
		`{"prompt":[1,2,3]}`:                  true,
		`{"prompt":[[1,2],[3],[4]]}`:          false,
		`{"messages":[],"prompt":["","",""]}`: true,
		`{"prompt":{"id":"p"}}`:               true,
	} {
		require.Equal(t, want, a.Whole(json.RawMessage(request)), request)
	}
}

func TestAnswer_Estimate(t *testing.T) {
	t.Parallel()
	a, _ := fold(t, `{"choices":[]}`)
	for _, request := range []string{`{"messages":["234567890"]}`, `{"prompt":"23456789012"}`, `{"input":["234567890"]}`} {
		require.EqualValues(t, 3, gjson.GetBytes(a.Estimate(json.RawMessage(request)), "prompt_tokens").Int(), request)
	}
	require.Nil(t, new(Answer).Estimate(nil))
}
