package upstream

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// respond asks for a response and folds what comes.
func respond(t *testing.T, u *Upstream, request string) (*answer.Answer, []json.RawMessage, error) {
	t.Helper()
	a, chunks := &answer.Answer{}, []json.RawMessage(nil)
	for chunk, err := range u.Stream(t.Context(), completion.EndpointResponses, json.RawMessage(request)) {
		if err != nil {
			return a, chunks, err
		}
		_, err := a.Add(chunk)
		require.NoError(t, err)
		chunks = append(chunks, bytes.Clone(chunk))
	}
	return a, chunks, nil
}

func TestUpstream_Native(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"true", "false"} { // the service always streams
		b := setup(t, nil, Config{Native: true})
		require.True(t, b.Native())
		a, _, err := respond(t, b.Upstream, `{"model":"sim-instant?search=1&reasoning=2","input":"hi","stream":`+stream+`,"tools":[{"type":"web_search"}]}`)
		require.NoError(t, err)
		out := gjson.ParseBytes(a.Completion())
		require.Equal(t, `["web_search_call","reasoning","message"]`, out.Get("output.#.type").Raw)
		require.Equal(t, modelsim.Answer("hi"), out.Get("output.2.content.0.text").Str)
		require.Equal(t, "completed", out.Get("status").Str)
		require.Positive(t, gjson.GetBytes(a.Usage(), "input_tokens").Int())
		require.Equal(t, "stop", a.FinishReason())
	}
	b := setup(t, nil, Config{Native: true})
	a, _, err := respond(t, b.Upstream, `{"model":"sim-instant?tool=f","input":[{"role":"user","content":"hi"}],"tools":[{"type":"function","name":"f"}],"max_output_tokens":2}`)
	require.NoError(t, err)
	require.Equal(t, "length", a.FinishReason())
	require.Equal(t, `["f"]`, gjson.GetBytes(a.Completion(), "output.#.name").Raw)
}

func TestUpstream_NativeFaults(t *testing.T) {
	t.Parallel()
	for query, code := range map[string]completion.Code{
		"cut=3": completion.CodeCut, "cut=0": completion.CodeCut, "reset=3": completion.CodeCut, "reset=0": completion.CodeUnreachable,
		"nofinish=1": completion.CodeCut, "empty=1": completion.CodeUpstreamGarbage, "garbage=2": completion.CodeUpstreamGarbage,
		"error_frame=2": completion.CodeUpstream, "error_frame=0&code=rate_limit_exceeded": completion.CodeRateLimited,
		"fail=429": completion.CodeRateLimited, "fail=400": completion.CodeUpstreamRejected, "stall=2": completion.CodeStalled,
		"comments=1&nul=1&split_surrogate=1&bad_utf8=1&nousage=1": "", "tokens=0": "",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil, Config{Native: true, IdleLimit: 500 * time.Millisecond})
			_, _, err := respond(t, b.Upstream, `{"model":"sim-instant?`+query+`","input":"hi"}`)
			if code == "" {
				require.NoError(t, err)
				return
			}
			requireCode(t, code, err)
		})
	}
}

func TestUpstream_NativeEnds(t *testing.T) {
	t.Parallel()
	const (
		created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n"
		ended   = "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}\n\n"
		whole   = `{"id":"r","object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],`
	)
	for name, c := range map[string]struct {
		lines string
		code  completion.Code
	}{
		"Completed":            {created + ended, ""},
		"CompletedAndMore":     {created + ended + "data: [DONE]\n\n", ""},
		"CutInTheLastLine":     {created + strings.TrimSpace(ended), ""},
		"Incomplete":           {created + "data: {\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"content_filter\"}}}\n\n", ""},
		"KeepsAlive":           {created + "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":3}\n\n: x\n\n" + ended, ""},
		"InTwoLines":           {"data: {\"type\":\"response.completed\",\ndata: \"response\":{}}\n\n", ""},
		"ErrorNull":            {"data: {\"error\":null,\"type\":\"response.completed\",\"response\":{\"error\":null}}\n\n", ""},
		"Cut":                  {created, completion.CodeCut},
		"DoneTooEarly":         {created + "data: [DONE]\n\n", completion.CodeCut},
		"FailedRate":           {created + "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}}\n\n", completion.CodeRateLimited},
		"FailedServer":         {created + "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"oh\"}}}\n\n", completion.CodeUpstream},
		"FailedPrompt":         {created + "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"invalid_prompt\",\"message\":\"no\"}}}\n\n", completion.CodeUpstreamRejected},
		"FailedImage":          {created + "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"image_too_large\",\"message\":\"no\"}}}\n\n", completion.CodeUpstreamRejected},
		"FailedSilent":         {"data: {\"type\":\"response.failed\",\"response\":{\"error\":null}}\n\n", completion.CodeUpstream},
		"ErrorEvent":           {created + "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"oh\",\"param\":null}\n\n", completion.CodeUpstream},
		"ErrorNested":          {"data: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"code\":\"x\",\"message\":\"no\"}}\n\n", completion.CodeUpstreamRejected},
		"ErrorEnvelope":        {"data: {\"error\":{\"code\":\"insufficient_quota\",\"message\":\"no\"}}\n\n", completion.CodeQuota},
		"NoJSON":               {created + "data: {\"type\n\n", completion.CodeUpstreamGarbage},
		"NoEvent":              {"data: {\"choices\":[]}\n\n", completion.CodeUpstreamGarbage},
		"CompletedWithNothing": {"data: {\"type\":\"response.completed\"}\n\n", completion.CodeUpstreamGarbage},
		"Page":                 {"<html></html>", completion.CodeUpstreamGarbage},
		"Whole":                {whole + `"status":"completed"}`, ""},
		"WholeOnLines":         {strings.ReplaceAll(whole, ",", ",\n") + "\n" + `"status":"incomplete","error":null}` + "\n", ""},
		"WholeFailed":          {whole + `"status":"failed","error":{"code":"server_error","message":"oh"}}`, completion.CodeUpstream},
		"WholeQueued":          {whole + `"status":"queued"}`, completion.CodeUpstreamGarbage},
		"WholeCompletion":      {`{"object":"chat.completion","choices":[{"message":{}}]}`, completion.CodeUpstreamGarbage},
		"WholeCut":             {whole, completion.CodeUpstreamGarbage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, events(c.lines), Config{Native: true})
			a, chunks, err := respond(t, b.Upstream, `{"model":"m","input":"hi"}`)
			if c.code != "" {
				requireCode(t, c.code, err)
				return
			}
			require.NoError(t, err)
			require.True(t, a.Whole(nil))
			for _, chunk := range chunks {
				require.True(t, strings.HasPrefix(gjson.GetBytes(chunk, "type").Str, "response."))
			}
			if strings.HasPrefix(name, "Whole") {
				require.Equal(t, "Hi", gjson.GetBytes(a.Completion(), "output.0.content.0.text").Str)
			}
		})
	}
}

func TestUpstream_SendsTheWholeResponse(t *testing.T) {
	t.Parallel()
	var sent string
	b := setup(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		sent = r.URL.Path + string(raw)
		events("data: {\"type\":\"response.completed\",\"response\":{}}\n\n")(w, r)
	}), Config{Native: true})
	_, _, err := respond(t, b.Upstream, `{"model":"m", "input":"hi","odd":[1e3],"stream":false,"store":true,"background":true,"previous_response_id":"resp_1","conversation":null,"stream_options":{"include_obfuscation":true},"tools":[{"type":"mcp"}]}`)
	require.NoError(t, err)
	require.Equal(t, `/v1/responses{"model":"m","input":"hi","odd":[1e3],"stream_options":{"include_obfuscation":true},"tools":[{"type":"mcp"}],"store":false,"stream":true}`, sent)

	made := "msg_0198c0de00007000800000000000beef_in0"
	_, _, err = respond(t, b.Upstream, `{"input":[{"type":"reasoning","id":"rs_1","summary":[]},{"type":"reasoning","encrypted_content":"x"},{"id":"`+made+`","role":"user"},{"role":"user","id":"msg_1"},5]}`)
	require.NoError(t, err)
	require.Equal(t, `/v1/responses{"input":[{"type":"reasoning","encrypted_content":"x"},{"role":"user"},{"role":"user","id":"msg_1"},5],"store":false,"stream":true}`, sent)

	_, _, err = respond(t, b.Upstream, `[]`)
	requireCode(t, completion.CodeInvalidJSON, err)
}

// TestUpstream_Native_BreaksOff has the answer end after each of its bytes.
func TestUpstream_Native_BreaksOff(t *testing.T) {
	t.Parallel()
	const all = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\ndata: {\"type\":\"response.completed\",\"response\":{}}\n\n"
	for n := range len(all) {
		f := newFilter(strings.NewReader(all[:n]), 1<<20, 0)
		f.native, f.classify = true, func(fault) error { return completion.NewError(completion.CodeUpstream, "") }
		out, err := chunks(f)
		if n < len(all)-2 {
			require.Error(t, err, "%q", all[:n])
			continue
		}
		require.NoError(t, err)
		require.Len(t, out, 2)
	}
}

// FuzzFilter_Native has a server send anything: what comes out is either the events of a response that has ended, or an error.
func FuzzFilter_Native(f *testing.F) {
	for _, s := range []string{
		"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\ndata: {\"type\":\"response.completed\",\"response\":{}}\n\n",
		"{\"object\":\"response\",\n\"status\":\"incomplete\"}", "data: {\"error\":null,\"type\":\"response.incomplete\",\ndata: \"response\":{\"\xff\":1}}\r\n\r\n",
		"data: {\"type\":\"response.failed\",\"response\":{}}\n\n", "event: error\ndata: {}\n\n", "data: [DONE]\n\n", ": x\n\ndata: {\"type\":\"ping\"}\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		filter := newFilter(bytes.NewReader(sent), 1<<20, 0)
		filter.native, filter.classify = true, func(fault) error { return completion.NewError(completion.CodeUpstream, "") }
		out, err := chunks(filter)
		if err != nil {
			var own *completion.Error
			require.ErrorAs(t, err, &own)
			require.NotErrorIs(t, err, io.EOF)
			return
		}
		kind := ""
		for _, line := range out {
			require.True(t, json.Valid(line) && utf8.Valid(line), "%q", line)
			require.NotContains(t, string(line), "\n")
			kind = gjson.GetBytes(line, "type").Str
			require.True(t, strings.HasPrefix(kind, "response."), "%q", line)
		}
		require.Contains(t, []string{"response.completed", "response.incomplete"}, kind)
	})
}
