package answer

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

func fold(t *testing.T, chunks ...string) (*Answer, []string) {
	t.Helper()
	var a Answer
	var slim []string
	for _, c := range chunks {
		s, err := a.Add(json.RawMessage(c))
		require.NoError(t, err)
		slim = append(slim, string(s))
	}
	return &a, slim
}

func TestAnswer_Text(t *testing.T) {
	t.Parallel()
	a, slim := fold(t,
		`{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}],"usage":null}`,
		`{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hé\u000a"},"finish_reason":null}],"usage":null}`,
		`{"id":"c1","object":"chat.completion.chunk","created":8,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"<b>"},"finish_reason":"stop"}]}`,
		`{"id":"c1","object":"chat.completion.chunk","created":8,"model":"m","choices":[],"usage":{"total_tokens":3}}`,
		`{"id":"c1","object":"chat.completion.chunk","created":8,"model":"m","choices":[]}`,
	)
	require.Equal(t, []string{
		`{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}`,
		`{"choices":[{"index":0,"delta":{"content":"Hé\u000a"},"finish_reason":null}]}`,
		`{"created":8,"choices":[{"index":0,"delta":{"role":"assistant","content":"<b>"},"finish_reason":"stop"}]}`,
		`{"usage":{"total_tokens":3}}`,
		``,
	}, slim)
	require.Equal(t, `{"id":"c1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hé\u000a<b>"},"finish_reason":"stop"}],"usage":{"total_tokens":3}}`, string(a.Completion())) //nolint:testifylint // byte for byte is the point
	require.Equal(t, "stop", a.FinishReason())
	require.JSONEq(t, `{"total_tokens":3}`, string(a.Usage()))
}

func TestAnswer_I4_BytesSurvive(t *testing.T) {
	t.Parallel()
	a, _ := fold(t,
		`{"choices":[{"index":0,"delta":{"content":"\ud83d"}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"\ude00 \u0000 \udc80"}}]}`,
	)
	require.Equal(t, `\ud83d\ude00 \u0000 \udc80`, strings.Trim(gjson.GetBytes(a.Completion(), "choices.0.message.content").Raw, `"`))
	require.True(t, json.Valid(a.Completion()))
}

func TestAnswer_ToolCallsReasoningLogprobs(t *testing.T) {
	t.Parallel()
	a, _ := fold(t,
		`{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"th","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]},"logprobs":{"content":[{"token":"a"}],"refusal":null}}]}`,
		`{"choices":[{"index":0,"delta":{"reasoning_content":"ink","tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]},"logprobs":{"content":[{"token":"b"}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}`,
		`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":{"name":"f","arguments":":1}"}}]},"finish_reason":"tool_calls"}]}`,
	)
	require.JSONEq(t, `{"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"think","tool_calls":[
		{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
		{"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]},
		"logprobs":{"content":[{"token":"a"},{"token":"b"}],"refusal":null},"finish_reason":"tool_calls"}]}`, string(a.Completion()))

	var again Answer
	for _, c := range Restate(a.Completion()) {
		_, err := again.Add(c)
		require.NoError(t, err)
	}
	require.JSONEq(t, string(a.Completion()), string(again.Completion()), "restated, it says all that was said")
}

func TestAnswer_SeveralChoices(t *testing.T) {
	t.Parallel()
	a, _ := fold(t,
		`{"choices":[{"index":1,"delta":{"content":"b"}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"B"},"finish_reason":"length"}]}`,
	)
	require.JSONEq(t, `{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":null},{"index":1,"message":{"role":"assistant","content":"bB"},"finish_reason":"length"}]}`, string(a.Completion()))
	require.Empty(t, a.FinishReason())
}

func TestAnswer_I4_NoIndexIsMadeUp(t *testing.T) {
	t.Parallel()
	a, _ := fold(t, `{"choices":[{"index":0,"delta":{"parts":[{"type":"text"},{"index":0,"type":"image"}]}}]}`)
	require.JSONEq(t, `[{"type":"text"},{"index":0,"type":"image"}]`, gjson.GetBytes(a.Completion(), "choices.0.message.parts").Raw)
}

func TestAnswer_FarIndexes(t *testing.T) {
	t.Parallel()
	a, _ := fold(t, `{"choices":[{"index":9223372036854775807},{"index":-2}]}`)
	require.Equal(t, "[-2,9223372036854775807]", gjson.GetBytes(a.Completion(), "choices.#.index").Raw)
}

func TestAnswer_OddChunks(t *testing.T) {
	t.Parallel()
	for _, c := range []string{`[]`, `1`, `{"choices":{}}`, `{"choices":[1]}`, `{"choices":"x!"}`} {
		var a Answer
		_, err := a.Add(json.RawMessage(c))
		require.ErrorIs(t, err, ErrShape, c)
	}
	for _, c := range []string{`{}`, `{"choices":null}`, `{"choices":[{}]}`, `{"choices":[{"index":0,"delta":null}]}`, `{"choices":[{"delta":"text"}]}`, `{"choices":[{"delta":` + strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200) + `}]}`} {
		a, _ := fold(t, c)
		require.True(t, json.Valid(a.Completion()), "%s gives %s", c, a.Completion())
	}
	require.Nil(t, new(Answer).Completion())
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"id":"c1","choices":[{"index":0,"delta":{"content":"x","tool_calls":[{"index":0,"id":"a"}]}}],"usage":{}}`)
	f.Add(`{"choices":[{"delta":{"content":[{"index":1}]}}]}`)
	f.Fuzz(func(t *testing.T, chunk string) {
		if !json.Valid([]byte(chunk)) {
			return // upstream refuses it before
		}
		var a Answer
		for range 2 {
			slim, err := a.Add(json.RawMessage(chunk))
			if err != nil {
				return
			}
			require.True(t, slim == nil || json.Valid(slim), "%s", slim)
		}
		require.True(t, json.Valid(a.Completion()), "%s", a.Completion())
		for _, c := range Restate(a.Completion()) {
			require.True(t, json.Valid(c), "%s", c)
		}
	})
}

func BenchmarkAnswer_Add(b *testing.B) {
	chunk := json.RawMessage(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}`)
	b.ReportAllocs()
	var a Answer
	for b.Loop() {
		if _, err := a.Add(chunk); err != nil {
			b.Fatal(err)
		}
	}
}
