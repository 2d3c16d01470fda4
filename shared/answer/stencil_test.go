package answer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// around are chunks with a hole for the inside of a string, where a stencil may be cut and where not.
var around = []string{
	`{"id":"c1","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":null}],"usage":null}`,
	` {"id":"c1", "choices" : [ {"delta": {"reasoning_content" : "%s"} , "index":1} ] } `,
	`{"choices":[{"delta":{"content":"%s"}}]}`,
	`{"choices":[{"delta":{"role":"assistant","content":"%s"}}]}`,
	`{"choices":[{"delta":{"role":"%s"}}]}`,
	`{"choices":[{"index":0,"delta":{"content":"%s"},"logprobs":{"content":[{"token":"a"}]}}]}`,
	`{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":"stop"}]}`,
	`{"choices":[{"index":0,"delta":{"content":"%s"}},{"index":1,"delta":{"content":"b"}}]}`,
	`{"choices":[{"index":0,"delta":{"content":"a"}}],"choices":[{"index":0,"delta":{"content":"%s"}}]}`,
	`{"choices":[{"index":0,"delta":{"content":"a"},"delta":{"content":"%s"}}]}`,
	`{"choices":[{"index":0,"delta":"%s"}]}`,
	`{"choices":[{"index":0,"text":"%s"}]}`,
	`{"choices":[{"index":0,"delta":{"content":"%s"}}],"usage":{"total_tokens":1}}`,
	`{"a":1,"a":2,"choices":[{"index":0,"delta":{"content":"%s"}}]}`,
	`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"%s"}}]}}]}`,
}

var insides = []string{"", "a", `\n`, `\u00e9`, `\ud83d`, `\\`, `\"`, "é", "😀", " ", `"},"x":{"y":"`, `\`, `\u12`, `\x`, "\xff", "\n", `a","b":"c`}

// read folds chunks, the invalid ones left out as upstreams' are, and returns all that is said of them.
func read(t *testing.T, chunks []string, parsed bool) (said []string) {
	t.Helper()
	var a Answer
	for _, c := range chunks {
		if !json.Valid([]byte(c)) {
			require.False(t, fits(a.thread.Stencil, c), "%s fits", c)
			continue
		}
		if parsed {
			a.thread.Drop()
		}
		slim, err := a.Add(json.RawMessage(c))
		said = append(said, fmt.Sprint(string(slim), err))
	}
	return append(said, string(a.Completion()), a.FinishReason(), fmt.Sprint(a.chunks, a.bytes))
}

func fits(s Stencil, chunk string) bool {
	_, ok := s.Text([]byte(chunk))
	return ok
}

// TestStencil_I4_SaysWhatAParserWould has every pair of shapes follow each other, with every text.
func TestStencil_I4_SaysWhatAParserWould(t *testing.T) {
	t.Parallel()
	for _, one := range around {
		for _, other := range around {
			var chunks []string
			for _, text := range insides {
				chunks = append(chunks, strings.Replace(one, "%s", text, 1), strings.Replace(one, "%s", text, 1), strings.Replace(other, "%s", text, 1))
			}
			require.Equal(t, read(t, chunks, true), read(t, chunks, false), "%s\n%s", one, other)
		}
	}
}

func TestStencil_IsUsed(t *testing.T) {
	t.Parallel()
	for i, shape := range around {
		var a Answer
		for range 2 {
			_, err := a.Add(json.RawMessage(strings.Replace(shape, "%s", "a", 1)))
			require.NoError(t, err)
		}
		require.Equal(t, i < 3, fits(a.thread.Stencil, strings.Replace(shape, "%s", `b\n`, 1)), shape)
	}
}

// TestStencil_GivesUp: chunks of which each has something of its own, as OpenAI's obfuscation, are soon no longer compared.
func TestStencil_GivesUp(t *testing.T) {
	t.Parallel()
	var a Answer
	for i := range 2 * maxVain {
		_, err := a.Add(fmt.Appendf(nil, `{"choices":[{"delta":{"content":"a"},"n":null}]%s}`, strings.Repeat(" ", i)))
		require.NoError(t, err)
	}
	require.Equal(t, maxVain, a.thread.vain)
	require.Empty(t, a.thread.head)
}

func FuzzStencil_I4(f *testing.F) {
	for i, shape := range around {
		f.Add(shape, around[(i+1)%len(around)], insides[i], insides[i+1])
	}
	f.Fuzz(func(t *testing.T, one, other, text, more string) {
		var chunks []string
		for _, shape := range []string{one, one, other, one, other, other} {
			chunks = append(chunks, strings.Replace(shape, "%s", text, 1), strings.Replace(shape, "%s", more, 1))
		}
		require.Equal(t, read(t, chunks, true), read(t, chunks, false))
	})
}
