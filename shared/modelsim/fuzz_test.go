package modelsim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	fold "sluice/shared/answer"
)

// small reports whether an answer ends soon and without dropping the connection.
func small(req *request, s script) bool {
	calm := s.faults
	calm.fail, calm.code, calm.retryAfter = noFaults.fail, "", ""
	return calm == noFaults && s.fail == 0 && s.first == 0 && s.tps == 0 && s.tokens < 100 && s.reasoning < 100 && s.big < 1000 && s.deltas < 100 && req.choices() <= 4
}

// FuzzRequest reads a request as a client sends it. What is refused is refused as OpenAI does; what is not, and small, is
// answered with a stream that amounts to a complete answer.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"model":"sim-instant","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}`,
		`{"model":"sim-instant?tokens=5&reasoning=2&comments=2&logprobs=1&id_changes=1","messages":[{"content":[{"text":"a"},{}]}],"n":2}`,
		`{"model":"sim-instant?tool=f&nul=1&split_surrogate=1","messages":[{"role":"user","content":"\ud800 \"\\"}],"tools":[{"function":{"name":"f"}}],"max_tokens":3}`,
		`{"model":"sim-instant?big=10&deltas=3&bad_utf8=1","messages":[{"content":null}]}`, `{"model":"sim-instant?tps=nan","messages":[{}]}`, `{"model":"sim-instant?first=-1s","messages":[{}]}`,
		`{"model":"sim-instant?times=1","messages":[{}]}`, `{"model":"sim?%","messages":[{}]}`, `{"model":"\"","messages":[{}]}`, `{"messages":[1]}`, `{"n":129,"messages":[{}]}`, `{"max_tokens":-1,"messages":[{}]}`, `null`, ``,
	} {
		f.Add(s)
	}
	sim := New(Config{})
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		req, bad := readRequest(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body)))
		var sc script
		if bad == nil {
			require.True(t, req.choices() >= 1 && req.choices() <= 128)
			require.NotZero(t, req.limit())
			for _, text := range req.texts() {
				require.True(t, utf8.ValidString(text))
				require.Equal(t, text, strings.Join(Tokens(text), ""))
			}
			sc, bad = sim.script(req.Model)
		}
		var a *answer
		if bad == nil && small(req, sc) {
			a, bad = newAnswer(req, sc, 1)
		}
		if bad != nil {
			require.True(t, bad.Status >= 400 && bad.Status <= 499)
			require.NotEmpty(t, bad.Message)
			return
		}
		if a != nil && !sc.badUTF8 && !sc.nousage {
			folded(t, a)
		}
	})
}

func folded(t *testing.T, a *answer) {
	t.Helper()
	w := httptest.NewRecorder()
	require.NoError(t, a.stream(t.Context(), w, newPacer(a.script)))
	var got fold.Answer
	for line := range strings.Lines(w.Body.String()) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		require.True(t, json.Valid([]byte(data)), "%s", data)
		_, err := got.Add(json.RawMessage(data))
		require.NoError(t, err)
	}
	var whole map[string]any
	require.NoError(t, json.Unmarshal(a.whole(), &whole), "%s", a.whole())
	require.Len(t, whole["choices"], a.req.choices())
	require.True(t, strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n"))
	require.Equal(t, a.reason, got.FinishReason())
}
