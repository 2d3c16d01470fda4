package upstream

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"sluice/shared/completion"

	"github.com/stretchr/testify/require"
)

const (
	secretKey  = "topsecret"
	secretHost = "llm.internal"
)

// answering is an upstream that gives one answer, without a network.
type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return a(r), nil
}

// noSecret checks an error that clients may see.
func noSecret(t *testing.T, e *completion.Error) {
	t.Helper()
	for _, text := range []string{e.Message, e.Param} {
		require.True(t, utf8.ValidString(text), "%q", text)
		require.LessOrEqual(t, len(text), maxMessage)
		require.NotContains(t, text, secretKey)
		require.NotContains(t, text, secretHost)
	}
	require.GreaterOrEqual(t, time.Duration(e.RetryAfter), time.Duration(0))
	require.LessOrEqual(t, time.Duration(e.RetryAfter), maxRetryAfter)
}

// FuzzStream answers a call with any status, Retry-After and body, through the client library.
func FuzzStream(f *testing.F) {
	for _, body := range []string{
		"data: " + hello + "\n\ndata: " + stop + "\n\ndata: [DONE]\n\n", "\ufeffdata:" + hello + "\r\n\r\ndata:[DONE]", "data:\u00a0" + hello + "\n\ndata: [DONE]\n\n",
		"data: {\"a\":\ndata: 1}\n\ndata: [DONE]\n\n", "data: {\"error\":null,\"choices\":[]}\n\ndata: [DONE]\n\n", "data: {\"\xff\":1}\n\n",
		"event: error\ndata: {\"message\":\"top\xffsecret\"}\n\n", `{"choices":[{"message":{"tool_calls":[{}]}}]}`, `{"error":"x"}`, "<html>", "",
	} {
		f.Add(200, "", body)
		f.Add(429, "1", body)
	}
	f.Add(400, "Fri, 02 Jan 2099 03:04:05 GMT", `{"error":{"message":"see https://llm.internal/v1"}}`)
	f.Fuzz(func(t *testing.T, status int, later, body string) {
		if status < 200 || status > 599 {
			return
		}
		u, err := New(Config{BaseURL: "http://" + secretHost + "/v1", APIKey: secretKey})
		require.NoError(t, err)
		u.pool.RegisterProtocol("http", answering(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {later}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
		}))
		chunks, complete := 0, true
		for chunk, err := range u.Stream(t.Context(), completion.EndpointChat, json.RawMessage(`{"model":"m"}`)) {
			if err != nil {
				var own *completion.Error
				require.ErrorAs(t, err, &own)
				noSecret(t, own)
				complete = false
				break
			}
			require.True(t, json.Valid(chunk), "%q", chunk)
			require.True(t, utf8.Valid(chunk), "%q", chunk)
			require.Equal(t, byte('{'), chunk[0], "%q", chunk)
			chunks++
		}
		if complete {
			require.Less(t, status, 300)
			require.Positive(t, chunks, "a complete answer that says nothing")
		}
	})
}

// FuzzFilter_GoesOn checks that chunks which are compared to one before come out as those that are parsed, or do not.
func FuzzFilter_GoesOn(f *testing.F) {
	for _, text := range []string{"a", `\n`, `\u00e9`, `"`, `\`, "\xff", `"}}],"error":{"message":"`, "\n", "\r"} {
		f.Add(`{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}`, `{"choices":[{"delta":{"content":"%s"},"finish_reason":"stop"}]}`, text)
		f.Add(`{"id":"%s","choices":[{"delta":{"content":"a"}}]}`, `{"choices":[{"index":3,"delta":{"x":"%s"}}], "choices":[]}`, text)
	}
	f.Fuzz(func(t *testing.T, one, other, text string) {
		var stream strings.Builder
		for _, shape := range []string{one, one, other, one, other, other} {
			fmt.Fprintf(&stream, "data: %s\n\ndata: %s\n\n", strings.Replace(shape, "%s", text, 1), strings.Replace(shape, "%s", "b", 1))
		}
		compared, parsed := newFilter(strings.NewReader(stream.String()), 10<<20, 1), newFilter(strings.NewReader(stream.String()), 10<<20, 1)
		u := &Upstream{secret: newScrubber(Config{})}
		for _, f := range []*filter{compared, parsed} {
			f.classify = func(x fault) error { return u.classify(x) }
		}
		for {
			parsed.stencil.Drop()
			want, wantErr := parsed.next()
			got, err := compared.next()
			require.Equal(t, string(want), string(got))
			require.Equal(t, parsed.progress, compared.progress)
			require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err))
			if err != nil {
				return
			}
		}
	})
}

// FuzzFilter_Pieces checks that it does not matter how the network cuts a stream.
func FuzzFilter_Pieces(f *testing.F) {
	f.Add("data: "+hello+"\n\ndata: "+second+"\n\n", 2)
	f.Add("\ufeffdata: {\"a\":\r\ndata: 1}\r\n\r\ndata: [DONE]\r\n\r\n", 1)
	f.Add("data: "+stop+"\n\n", 1<<40)
	f.Add("\n\n {\"choices\":[{\"message\":{}}]}", 1)
	f.Fuzz(func(t *testing.T, stream string, choices int) {
		if choices < 1 {
			return
		}
		want, wantErr := filtered(t, strings.NewReader(stream), choices)
		for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(stream)), iotest.DataErrReader(strings.NewReader(stream))} {
			got, err := filtered(t, r, choices)
			require.Equal(t, want, got)
			require.Equal(t, wantErr == nil, err == nil)
			if err != nil {
				require.Equal(t, completion.AsError(wantErr).Code, completion.AsError(err).Code)
			}
		}
	})
}

// FuzzWhole compares a whole answer, turned into a chunk, with what encoding/json makes of it.
func FuzzWhole(f *testing.F) {
	for _, body := range []string{
		`{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"é","tool_calls":[{"id":"a"},{ },{"index":7},1]},"finish_reason":"stop"}]}`,
		`{"choices":[{"message":null},{"m\u0065ssage":{"tool_calls":{}}}],"choices":[{}],"ob\u006aect":"x"}`,
		`{"choices":[{"message":{"tool_calls":[{"index":null,"index":1}]}}],"error":{}}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		out, err := filtered(t, strings.NewReader(body), 1)
		if !strings.HasPrefix(body, "{") || err != nil || !utf8.ValidString(body) {
			return
		}
		var in, got map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &in))
		require.NoError(t, json.Unmarshal([]byte(out), &got), "%s", out)
		if _, said := in["object"]; said {
			in["object"] = "chat.completion.chunk"
		}
		list, _ := in["choices"].([]any)
		for _, item := range list {
			choice, _ := item.(map[string]any)
			message, ok := choice["message"].(map[string]any)
			if _, both := choice["delta"]; both || strings.Count(body, "essage") > 1 {
				return // which of them counts is the fold's affair
			}
			if !ok {
				continue
			}
			delete(choice, "message")
			choice["delta"] = message
			calls, _ := message["tool_calls"].([]any)
			for i, c := range calls {
				if call, ok := c.(map[string]any); ok && !has(call, "index") {
					call["index"] = float64(i)
				}
			}
		}
		require.Equal(t, in, got)
	})
}

func has(m map[string]any, key string) bool {
	_, ok := m[key]
	return ok
}

// FuzzClassify reads any error body under any status.
func FuzzClassify(f *testing.F) {
	for _, body := range []string{
		`{"error":{"message":"'x' is too long","type":"invalid_request_error","param":"messages[0]","code":"too_long"}}`,
		`{"error":"boom"}`, `{"object":"error","message":"x","code":429}`, `{"detail":[{"msg":"x"}]}`, `<html>`, "", "null", "[]",
		`{"error":{"message":"key topsecret at https://llm.internal/v1, sk-proj-0123456789"}}`, "top\xffsecret", "sk-\xffproj-0123456789",
		`{"error":{"message":"x","param":"topsecret"},"code":1e99}`, "a\xff" + strings.Repeat("é", 3000),
	} {
		f.Add(400, body)
		f.Add(0, body)
		f.Add(503, body)
	}
	u, err := New(Config{BaseURL: "https://" + secretHost + "/v1", APIKey: secretKey})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, status int, body string) {
		fault := parseFault([]byte(body))
		require.True(t, fault.status == 0 || fault.status >= 400 && fault.status <= 599)
		if status != 0 {
			fault.status = status
		}
		e := u.classify(fault)
		noSecret(t, e)
		require.NotEmpty(t, e.Message)
		require.False(t, secretShape.MatchString(e.Message+" "+e.Param), "%q %q", e.Message, e.Param)
		require.Contains(t, []completion.Code{completion.CodeQuota, completion.CodeRateLimited, completion.CodeUpstream, completion.CodeUpstreamRejected}, e.Code)
		if status >= 500 && e.Code != completion.CodeQuota {
			require.True(t, e.Retryable)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"", "0", "1", "600", "601", "67100", "-1", "NaN", "Inf", "-Inf", "1e99", "1e999", "0x1p4", "1_0", " 1", "soon", "Fri, 02 Jan 2026 03:04:35 GMT", "Monday, 01-Jan-00 00:00:00 GMT"} {
		f.Add(v, v)
		f.Add("", v)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, ms, plain string) {
		got := retryAfter(http.Header{"Retry-After-Ms": {ms}, "Retry-After": {plain}}, now)
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, maxRetryAfter)
		if n, err := strconv.Atoi(plain); ms == "" && err == nil {
			require.Equal(t, time.Duration(min(max(n, 0), 600))*time.Second, got)
		}
		if n, err := strconv.Atoi(ms); err == nil {
			require.InDelta(t, time.Duration(min(max(n, 0), 600_000))*time.Millisecond, got, 1) // a nanosecond off for some
		}
	})
}

// FuzzPrepare compares the body that is sent with the request, as encoding/json reads both.
func FuzzPrepare(f *testing.F) {
	for _, r := range []string{
		`{}`, ` {"str\u0065am":false,"n":3,"stream_options":{"a":1,"include_usage":false}} `, `{"n":1e30,"stream_options":[]}`, `{"n":-1,"n":"7"}`,
		`{"a":1,"a":2,"stream_options":{"a":1},"stream_options":null}`, `[]`, `null`, ``,
	} {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, request string) {
		body, choices, err := prepare(completion.EndpointChat, false, json.RawMessage(request))
		var want, got map[string]json.RawMessage
		if json.Unmarshal([]byte(request), &want) != nil || want == nil {
			require.Equal(t, completion.CodeInvalidJSON, completion.AsError(err).Code)
			return
		}
		require.NoError(t, err)
		require.Positive(t, choices)
		require.NoError(t, json.Unmarshal(body, &got), "%s", body)
		var options struct {
			IncludeUsage bool `json:"include_usage"`
		}
		require.JSONEq(t, "true", string(got["stream"]))
		require.NoError(t, json.Unmarshal(got["stream_options"], &options))
		require.True(t, options.IncludeUsage)
		for _, m := range []map[string]json.RawMessage{want, got} {
			delete(m, "stream")
			delete(m, "stream_options")
		}
		require.Equal(t, want, got)
	})
}
