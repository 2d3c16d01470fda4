package modelsim_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/modelsim"
)

// post asks a new simulated model.
func post(t *testing.T, path, body string) (status int, answer string) {
	t.Helper()
	server := httptest.NewServer(modelsim.New(modelsim.Config{}))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestSim_Completions(t *testing.T) {
	t.Parallel()
	want := modelsim.Answer("hi")
	status, whole := post(t, "/v1/completions", `{"model":"sim-instant","prompt":"hi"}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "text_completion", gjson.Get(whole, "object").Str)
	require.Equal(t, want, gjson.Get(whole, "choices.0.text").Str)
	require.Equal(t, "stop", gjson.Get(whole, "choices.0.finish_reason").Str)

	_, stream := post(t, "/v1/completions", `{"model":"sim-instant","prompt":["hi"],"n":2,"stream":true,"stream_options":{"include_usage":true}}`)
	text, usage := [2]string{}, ""
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		require.True(t, json.Valid([]byte(data)), data)
		require.Equal(t, "text_completion", gjson.Get(data, "object").Str)
		if c := gjson.Get(data, "choices.0"); c.Exists() {
			text[c.Get("index").Int()] += c.Get("text").Str
		}
		usage = gjson.Get(data, "usage").Raw
	}
	require.Equal(t, [2]string{want, want}, text)
	require.NotEmpty(t, usage)
	require.True(t, strings.HasSuffix(stream, "data: [DONE]\n\n"))

	for _, prompt := range []string{`[1,2]`, `[[1,2],[3]]`, `["a","b"]`} {
		status, whole = post(t, "/v1/completions", `{"model":"sim-instant","logprobs":2,"prompt":`+prompt+`}`)
		require.Equal(t, http.StatusOK, status, whole)
		require.NotEmpty(t, gjson.Get(whole, "choices.0.text").Str)
	}

	status, bad := post(t, "/v1/completions", `{"model":"sim-instant"}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "prompt", gjson.Get(bad, "error.param").Str)
}

func TestSim_Embeddings(t *testing.T) {
	t.Parallel()
	status, body := post(t, "/v1/embeddings", `{"model":"sim-instant","input":["a","b","a"],"dimensions":3}`)
	require.Equal(t, http.StatusOK, status, body)
	var list struct {
		Data []struct {
			Index     int
			Embedding []float32
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.Data, 3)
	require.Equal(t, modelsim.Embedding("a", 3), list.Data[0].Embedding)
	require.Equal(t, list.Data[0].Embedding, list.Data[2].Embedding)
	require.NotEqual(t, list.Data[0].Embedding, list.Data[1].Embedding)

	_, body = post(t, "/v1/embeddings", `{"model":"sim-instant","input":"a","encoding_format":"base64"}`)
	raw, err := base64.StdEncoding.DecodeString(gjson.Get(body, "data.0.embedding").Str)
	require.NoError(t, err)
	floats := make([]float32, 8)
	_, err = binary.Decode(raw, binary.LittleEndian, floats)
	require.NoError(t, err)
	require.Equal(t, modelsim.Embedding("a", 8), floats)
	require.InDelta(t, 1, gjson.Get(body, "usage.total_tokens").Num, 0)

	for body, want := range map[string]int{
		`{"model":"sim-instant"}`: 400, `{"model":"sim-instant","input":"a","dimensions":0}`: 400, `{"model":"x","input":"a"}`: 404,
		`{"model":"sim-instant?fail=503","input":"a"}`: 503, `{"model":"sim-instant","input":1}`: 400,
	} {
		status, answer := post(t, "/v1/embeddings", body)
		require.Equal(t, want, status, answer)
		require.NotEmpty(t, gjson.Get(answer, "error.message").Str)
	}
}

func TestSim_Responses(t *testing.T) {
	t.Parallel()
	const body = `{"model":"sim-instant?search=1&reasoning=2","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]}],"tools":[{"type":"web_search"}]`
	status, whole := post(t, "/v1/responses", body+"}")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "completed", gjson.Get(whole, "status").Str)
	require.Equal(t, `["web_search_call","reasoning","message"]`, gjson.Get(whole, "output.#.type").Raw)
	require.Equal(t, modelsim.Answer("hi"), gjson.Get(whole, "output.2.content.0.text").Str)
	require.Equal(t, " hmm hmm", gjson.Get(whole, "output.1.summary.0.text").Str)
	require.Equal(t, int64(2), gjson.Get(whole, "usage.output_tokens_details.reasoning_tokens").Int())

	_, stream := post(t, "/v1/responses", body+`,"stream":true}`)
	text, number, last := "", int64(0), ""
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok {
			continue
		}
		require.True(t, json.Valid([]byte(data)), data)
		require.Equal(t, number, gjson.Get(data, "sequence_number").Int())
		number++
		if gjson.Get(data, "type").Str == "response.output_text.delta" {
			text += gjson.Get(data, "delta").Str
		}
		last = data
	}
	require.Equal(t, modelsim.Answer("hi"), text)
	require.JSONEq(t, gjson.Get(whole, "output").Raw, gjson.Get(last, "response.output").Raw)

	_, whole = post(t, "/v1/responses", `{"model":"sim-instant?tool=f","input":"hi","tools":[{"type":"function","name":"f"}]}`)
	require.JSONEq(t, `{"input": "hi"}`, gjson.Get(whole, "output.0.arguments").Str)
	_, whole = post(t, "/v1/responses", `{"model":"sim-instant?tool=f","input":[{"role":"user","content":"hi"},{"type":"function_call_output","call_id":"call_sim","output":"5"}],"max_output_tokens":3}`)
	require.Equal(t, "incomplete", gjson.Get(whole, "status").Str)
	require.Equal(t, "message", gjson.Get(whole, "output.0.type").Str)
	for _, bad := range []string{`{"model":"sim-instant"}`, `{"model":"sim-instant","input":"hi","previous_response_id":"resp_1"}`, `{"model":"sim-instant?search=1","input":"hi"}`} {
		status, _ := post(t, "/v1/responses", bad)
		require.Equal(t, http.StatusBadRequest, status, bad)
	}
}
