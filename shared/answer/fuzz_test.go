package answer

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// same compares two completions as encoding/json reads them.
func same(t *testing.T, want, got json.RawMessage) {
	t.Helper()
	require.Equal(t, decoded(t, want), decoded(t, got), "%s\n%s", want, got)
}

// decoded leaves numbers as they are written, however large.
func decoded(t *testing.T, data json.RawMessage) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	require.NoError(t, d.Decode(&v), "%s", data)
	return v
}

// FuzzSplit_I4 folds two chunks whole and cut: both must amount to the same completion. Which of an object's members counts
// that it has twice is nobody's promise.
func FuzzSplit_I4(f *testing.F) {
	const first = `{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"h\u00e9\ud83d\ude00"},"finish_reason":null}]}`
	for _, c := range []string{
		`{"choices":[{"index":0,"delta":{"content":"llo","tool_calls":[{"index":0,"id":"call","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"x"}]},"finish_reason":"stop"}]}`,
		`{"citations":["https://a","https://b"],"model":"another","choices":[]}`,
		`{"choices":[{"delta":{"a":[{"b":1},{"index":0}],"content":""}}],"usage":{"total_tokens":12345}}`,
		`{"choices":[{"logprobs":{"content":[{"token":"a"},{"token":"b"}],"refusal":null},"x":{},"y":[           ]}]}`,
		`{"":[{"x":922337203685477e807}]}`, `{"choices":[{"index":3,"index":{"role":"assistant"},"finish_reason":null}]}`,
		`{"choices":[{"index":9223372036854775807},{"index":-1},{"delta":{"annotations":[[1,[2]],[3]]}}]}`,
	} {
		f.Add(first, c, 8)
		f.Add(c, first, 40)
	}
	f.Fuzz(func(t *testing.T, one, two string, limit int) {
		var whole, cut Answer
		if limit < 1 || !json.Valid([]byte(one)) || !json.Valid([]byte(two)) || repeats(gjson.Parse(one), 0) || repeats(gjson.Parse(two), 0) {
			return
		}
		for _, c := range []string{one, two} {
			if _, err := whole.Add(json.RawMessage(c)); err != nil {
				return
			}
			for _, piece := range split(json.RawMessage(c), limit) {
				require.True(t, json.Valid(piece), "%s", piece)
				_, err := cut.Add(piece)
				require.NoError(t, err, "%s", piece)
			}
		}
		same(t, whole.Completion(), cut.Completion())
		last := int64(-1) << 63
		gjson.GetBytes(whole.Completion(), "choices.#.index").ForEach(func(_, v gjson.Result) bool {
			require.LessOrEqual(t, last, v.Int(), "in the order of their indexes")
			last = v.Int()
			return true
		})
	})
}

// FuzzAnswer_OneChunk_I4 says a message in one chunk: the completion has it as it was, save for the indexes of tool calls.
func FuzzAnswer_OneChunk_I4(f *testing.F) {
	for _, s := range []string{
		`{"role":"assistant","content":"hé","tool_calls":[{"index":0,"id":"a","function":{"arguments":"{}"}},{"id":"b"}]}`, `{"content":[{"a":1},{"index":0},{"index":"0"},null,[]],"x":{},"y":1e400}`,
		`{"a":[{"index":1.0},{"index":1}],"tool_calls":[{"tool_calls":[{"index":null}]}],"role":null}`, `{"":{"":""},"tool_calls":{"index":1},"n":-0}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, delta string) {
		root := gjson.Parse(delta)
		if !json.Valid([]byte(delta)) || !root.IsObject() || strings.Contains(delta, `\u`) || repeats(root, 0) || !plain(root, 0) {
			return
		}
		var a Answer
		_, err := a.Add(json.RawMessage(`{"choices":[{"index":0,"delta":` + delta + `}]}`))
		require.NoError(t, err)
		want, _ := withoutIndexes(root.Value()).(map[string]any)
		for key, value := range map[string]any{"role": "assistant", "content": nil} {
			if _, said := want[key]; !said {
				want[key] = value
			}
		}
		require.Equal(t, want, gjson.GetBytes(a.Completion(), "choices.0.message").Value(), "%s", a.Completion())
	})
}

// repeats reports whether an object under v, down to maxDepth, has a member twice.
func repeats(v gjson.Result, depth int) (found bool) {
	seen, object := map[string]bool{}, v.IsObject()
	if v.Type == gjson.JSON && depth < maxDepth {
		v.ForEach(func(k, child gjson.Result) bool {
			found = repeats(child, depth+1) || object && seen[k.Str]
			seen[k.Str] = true
			return !found
		})
	}
	return found
}

// plain reports whether no array under v has an index twice, and whether it is not too deep.
func plain(v gjson.Result, depth int) bool {
	ok, seen, object := depth < maxDepth-1, map[string]bool{}, v.IsObject()
	if v.Type == gjson.JSON {
		v.ForEach(func(_, child gjson.Result) bool {
			index := child.Get("index").Raw
			ok = ok && plain(child, depth+1) && (object || index == "" || !seen[index])
			seen[index] = true
			return ok
		})
	}
	return ok
}

// withoutIndexes takes the indexes out of tool calls.
func withoutIndexes(v any) any {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			withoutIndexes(item)
		}
	case map[string]any:
		for key, member := range v {
			withoutIndexes(member)
			calls, _ := member.([]any)
			for _, c := range calls {
				if call, ok := c.(map[string]any); ok && key == "tool_calls" {
					delete(call, "index")
				}
			}
		}
	}
	return v
}

// FuzzRecall puts an answer into a log and reads it back.
func FuzzRecall(f *testing.F) {
	f.Add([]byte(`{"type":"started","attempt":1}`), []byte(`{"type":"delta","attempt":1,"chunks":[{"choices":[{"delta":{"content":"x"}}]}]}`), uint8(0))
	f.Add([]byte(`{"type":"storing","attempt":2,"result":{"id":"c"}}`), []byte(`{"type":"delta","chunks":[1]}`), uint8(1))
	f.Add([]byte(`{"type":"storing","result":null}`), []byte(`{"chunks":null,"at":"now"}`), uint8(3))
	f.Fuzz(func(t *testing.T, one, two []byte, gap uint8) {
		seq := int64(0)
		records := func(yield func(completion.Record, error) bool) {
			for _, data := range [][]byte{one, two} {
				root := gjson.ParseBytes(data)
				seq += 1 + int64(gap&1)
				if !yield(completion.Record{Seq: seq, Attempt: int(root.Get("attempt").Int()), Type: completion.EventType(root.Get("type").Str), Data: data}, nil) {
					return
				}
			}
		}
		r, ok, err := Recall(records)
		if err != nil || !ok {
			require.False(t, ok)
			return
		}
		require.True(t, r.Answer.Empty() || json.Valid(r.Answer.Completion()), "%s", r.Answer.Completion())
		if r.Ended != nil {
			require.Equal(t, completion.EventStoring, r.Ended.Type)
		}
	})
}
