package answer

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

func TestSplit_LargeChunk(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`ab\n\u00e9\ud83d\ude00é😀`, 20_000)
	whole := json.RawMessage(`{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"` + text + `"},"finish_reason":"stop"}]}`)
	a := folded(t, Split(whole))
	require.Equal(t, text, strings.Trim(gjson.GetBytes(a.Completion(), "choices.0.message.content").Raw, `"`))
	require.Equal(t, "stop", a.FinishReason())
	require.Len(t, Split(json.RawMessage(`{}`)), 1)
}

func TestSplit_TopLevelFieldsAreNotCut(t *testing.T) {
	t.Parallel()
	list := `["https://` + strings.Repeat("a", MaxChunk/2) + `","https://` + strings.Repeat("b", MaxChunk/2) + `"]`
	var a Answer
	for _, c := range Split(json.RawMessage(`{"id":"c","citations":` + list + `,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`)) {
		_, err := a.Add(c)
		require.NoError(t, err)
	}
	require.Equal(t, list, gjson.GetBytes(a.Completion(), "citations").Raw, "their last value counts, so pieces would be lost")
}

func TestSplit_WhiteSpace(t *testing.T) {
	t.Parallel()
	for _, c := range []string{`{%}`, `{"choices":[{"index":0,"delta":{%},"x":[%]}]}`} {
		c = strings.ReplaceAll(c, "%", strings.Repeat(" ", MaxChunk))
		var whole, cut Answer
		_, err := whole.Add(json.RawMessage(c))
		require.NoError(t, err)
		for _, piece := range Split(json.RawMessage(c)) {
			_, err := cut.Add(piece)
			require.NoError(t, err)
		}
		same(t, whole.Completion(), cut.Completion())
	}
}

// folded folds chunks, of which there must be several and none too large.
func folded(t *testing.T, chunks []json.RawMessage) *Answer {
	t.Helper()
	var a Answer
	require.Greater(t, len(chunks), 1)
	for _, c := range chunks {
		require.LessOrEqual(t, len(c), MaxChunk+128)
		require.True(t, json.Valid(c), "%s", c)
		_, err := a.Add(c)
		require.NoError(t, err)
	}
	return &a
}

// TestRestate_I4 has long texts in every place of a completion, two choices, and half a tool call.
func TestRestate_I4(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(`x\ud83d\ude00é`, 30_000)
	tokens := strings.TrimSuffix(strings.Repeat(`{"token":"a","logprob":-0.5,"bytes":null},`, 9000), ",")
	completion := `{"id":"c","object":"chat.completion","created":7,"model":"m","choices":[` +
		`{"index":0,"message":{"role":"assistant","content":"` + long + `","reasoning_content":"` + long + `"},"finish_reason":"stop","logprobs":{"content":[` + tokens + `],"refusal":null}},` +
		`{"index":1,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t0","type":"function","function":{"name":"f","arguments":"{\"a\":` + long + `"}},` +
		`{"id":"t1","type":"function","function":{"name":"g","arguments":"` + long + `"}}]},"finish_reason":null}],"usage":{"total_tokens":3}}`
	require.True(t, json.Valid([]byte(completion)))
	a := folded(t, Restate(json.RawMessage(completion)))
	same := gjson.Parse(completion).Get("@ugly").Raw == gjson.ParseBytes(a.Completion()).Get("@ugly").Raw
	require.True(t, same, "all of it; too long to show")
	for _, path := range []string{"choices.0.message.content", "choices.0.message.reasoning_content", "choices.1.message.tool_calls.1.function.arguments"} {
		require.Equal(t, gjson.Get(completion, path).Raw, gjson.GetBytes(a.Completion(), path).Raw, "byte for byte")
	}
	require.False(t, a.Whole(json.RawMessage(`{"n":2}`)), "the second choice is not finished")
	require.Empty(t, Restate(nil))
	require.Empty(t, Restate(json.RawMessage(`"x"`)))
}

func FuzzRestate(f *testing.F) {
	f.Add(`{"object":"chat.completion","choices":[{"index":0,"message":{"content":"héllo \ud83d\ude00","tool_calls":[{},{"function":{"arguments":"{\"a\":1}"}}]}}]}`, 8)
	f.Fuzz(func(t *testing.T, completion string, limit int) {
		var a, b Answer
		if !json.Valid([]byte(completion)) || limit < 1 {
			return
		}
		if _, err := a.Add(json.RawMessage(completion)); err != nil {
			return
		}
		for _, c := range split(json.RawMessage(completion), limit) {
			require.True(t, json.Valid(c), "%s", c)
			if _, err := b.Add(c); err != nil {
				return
			}
		}
		for _, c := range Restate(a.Completion()) {
			require.True(t, json.Valid(c), "%s", c)
		}
	})
}
