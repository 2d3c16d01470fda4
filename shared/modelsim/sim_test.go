package modelsim_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/shared/modelsim"

	openai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	sim    *modelsim.Sim
	url    string
	client *http.Client
}

func setup(t *testing.T) *bundle {
	t.Helper()
	sim := modelsim.New(modelsim.Config{})
	server := httptest.NewServer(sim)
	transport := &http.Transport{}
	t.Cleanup(func() {
		sim.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
	return &bundle{sim: sim, url: server.URL, client: &http.Client{Transport: transport}}
}

// body is a streamed request for one message; more are further members of the object.
func body(model, message, more string) string {
	m, _ := json.Marshal(model)
	return `{"model":` + string(m) + `,"stream":true,"messages":[{"role":"user","content":"` + message + `"}]` + more + `}`
}

func (b *bundle) post(t *testing.T, body string) *http.Response {
	t.Helper()
	resp, err := b.client.Post(b.url+"/v1/chat/completions", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// lines posts body and returns the lines of the stream that are not blank, and how the stream ended.
func (b *bundle) lines(t *testing.T, body string) ([]string, error) {
	t.Helper()
	resp := b.post(t, body)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/event-stream; charset=utf-8", resp.Header.Get("Content-Type"))
	raw, err := io.ReadAll(resp.Body)
	var lines []string
	for l := range strings.Lines(string(raw)) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return lines, err
}

// joined is what the data lines say at path, in order.
func joined(lines []string, path string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(gjson.Get(strings.TrimPrefix(l, "data: "), path).String())
	}
	return b.String()
}

func TestAnswer_IsPredictable(t *testing.T) {
	t.Parallel()
	require.Equal(t, `This is a simulated answer; no real model was asked. Your last message was: "ho". I counted 3 of my tokens in 2 of your messages.`, modelsim.Answer("hi you", "ho"))
	text := "  a\tlong-winded  tale, é" + strings.Repeat("😀", 20) + " "
	require.Equal(t, text, strings.Join(modelsim.Tokens(text), ""))
	require.Len(t, modelsim.Tokens(modelsim.AnswerOf(100, "hi")), 100)
	require.Equal(t, modelsim.Answer("hi"), modelsim.AnswerOf(len(modelsim.Tokens(modelsim.Answer("hi"))), "hi"))
	require.Empty(t, modelsim.AnswerOf(0, "hi"))
	require.Empty(t, modelsim.Tokens(""))
}

func TestSim_Stream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lines, err := b.lines(t, body("sim-instant", `say \"<é>\"`, `,"stream_options":{"include_usage":true}`))
	require.NoError(t, err)
	answer := modelsim.Answer(`say "<é>"`)
	require.Equal(t, answer, joined(lines, "choices.0.delta.content"))
	require.Equal(t, "stop", joined(lines, "choices.0.finish_reason"))
	require.Equal(t, "data: [DONE]", lines[len(lines)-1])
	usage := strings.TrimPrefix(lines[len(lines)-2], "data: ")
	require.Equal(t, "[]", gjson.Get(usage, "choices").Raw)
	require.EqualValues(t, len(modelsim.Tokens(answer)), gjson.Get(usage, "usage.completion_tokens").Int())
	for _, l := range lines[:len(lines)-2] {
		require.True(t, gjson.Valid(strings.TrimPrefix(l, "data: ")), l)
		require.Equal(t, "null", gjson.Get(strings.TrimPrefix(l, "data: "), "usage").Raw)
	}
}

func TestSim_Directives(t *testing.T) {
	t.Parallel()
	const content = "choices.0.delta.content"
	for query, check := range map[string]func(r *require.Assertions, lines []string){
		"tokens=3": func(r *require.Assertions, l []string) { r.Equal(modelsim.AnswerOf(3, "hi"), joined(l, content)) },
		"reasoning=2": func(r *require.Assertions, l []string) {
			r.Equal(" hmm hmm", joined(l, "choices.0.delta.reasoning_content"))
		},
		"big=5000": func(r *require.Assertions, l []string) { r.Equal(strings.Repeat("x", 5000), joined(l, content)) },
		"big=5&deltas=2": func(r *require.Assertions, l []string) {
			r.Equal("xx", joined(l[1:2], content))
			r.Equal("xxx", joined(l[2:3], content))
		},
		"unfinished=1": func(r *require.Assertions, l []string) {
			r.Empty(joined(l, "choices.0.finish_reason"))
			r.Contains(l, "data: [DONE]")
		},
		"nodone=1":     func(r *require.Assertions, l []string) { r.NotContains(l, "data: [DONE]") },
		"empty=1":      func(r *require.Assertions, l []string) { r.Equal([]string{"data: [DONE]"}, l) },
		"nul=1":        func(r *require.Assertions, l []string) { r.Equal("\x00"+modelsim.Answer("hi"), joined(l, content)) },
		"bad_utf8=1":   func(r *require.Assertions, l []string) { r.Contains(l[1], "\"\xff\"") },
		"comments=1":   func(r *require.Assertions, l []string) { r.Equal(": keep-alive", l[1]) },
		"logprobs=1":   func(r *require.Assertions, l []string) { r.Contains(l[1], `"logprob":-0.125`) },
		"id_changes=1": func(r *require.Assertions, l []string) { r.NotEqual(joined(l[:1], "id"), joined(l[1:2], "id")) },
		"garbage=2":    func(r *require.Assertions, l []string) { r.False(gjson.Valid(strings.TrimPrefix(l[3], "data: "))) },
		"null_content=1": func(r *require.Assertions, l []string) {
			r.Equal("null", gjson.Get(strings.TrimPrefix(l[0], "data: "), content).Raw)
		},
		"split_surrogate=1": func(r *require.Assertions, l []string) {
			r.Contains(l[1], `"content":"\ud83d"`)
			r.Contains(l[2], `"content":"\ude00"`)
		},
		"nofinish=1": func(r *require.Assertions, l []string) {
			r.Empty(joined(l, "choices.0.finish_reason"))
			r.NotContains(l, "data: [DONE]")
		},
		"error_frame=2": func(r *require.Assertions, l []string) {
			r.Equal([]string{"event: error"}, l[3:4])
			r.Equal("server_error", joined(l[4:], "error.code"))
			r.Len(l, 5)
		},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			lines, err := setup(t).lines(t, body("sim-instant?"+query, "hi", ""))
			require.NoError(t, err)
			check(require.New(t), lines)
		})
	}
}

func TestSim_StampSaysWhenADeltaWasSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	began := time.Now().UnixNano()
	lines, err := b.lines(t, body("sim?stamp=1&first=0s&tps=1000&tokens=3", "hi", ""))
	require.NoError(t, err)
	stamps := strings.Fields(joined(lines, "choices.0.delta.content"))
	require.Len(t, stamps, 3)
	last := began
	for _, s := range stamps {
		at, err := strconv.ParseInt(s, 10, 64)
		require.NoError(t, err)
		require.GreaterOrEqual(t, at, last)
		last = at
	}
	require.GreaterOrEqual(t, time.Now().UnixNano(), last)
}

func TestSim_NoUsage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lines, err := b.lines(t, body("sim-instant?nousage=1", "hi", `,"stream_options":{"include_usage":true}`))
	require.NoError(t, err)
	require.Equal(t, "stop", joined(lines, "choices.0.finish_reason"))
	require.Empty(t, joined(lines, "usage.total_tokens"))
	require.Equal(t, "data: [DONE]", lines[len(lines)-1])

	resp := b.post(t, `{"model":"sim-instant?nousage=1","messages":[{"role":"user","content":"hi"}]}`)
	whole, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.True(t, json.Valid(whole))
	require.False(t, gjson.GetBytes(whole, "usage").Exists())
}

func TestSim_DroppedConnections(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"cut=2", "reset=2"} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			resp := b.post(t, body("sim?first=0s&tps=1000&"+query, "hi", ""))
			_, err := io.ReadAll(resp.Body)
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
			require.Zero(t, b.sim.Stats().Disconnects)
		})
	}
	b := setup(t)
	_, err := b.client.Post(b.url+"/v1/chat/completions", "application/json", strings.NewReader(body("sim?reset=0", "hi", "")))
	require.Error(t, err, "reset before any byte")
}

func TestSim_KeepaliveClose(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	ask := func(model string) {
		payload := body(model, "hi", "")
		req, err := http.NewRequest(http.MethodPost, b.url+"/v1/chat/completions", strings.NewReader(payload))
		require.NoError(t, err)
		require.NoError(t, req.Write(conn))
	}
	read := bufio.NewReader(conn)
	ask("sim-instant?keepalive_close=1")
	resp, err := http.ReadResponse(read, nil)
	require.NoError(t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.False(t, resp.Close)
	require.True(t, bytes.HasSuffix(raw, []byte("data: [DONE]\n\n")))
	ask("sim-instant")
	_, err = http.ReadResponse(read, nil)
	require.Error(t, err)
}

func TestSim_TimesPerKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	model := "sim-instant?fail=429&retry_after=7&code=rate_limit_exceeded&times=2&key=" + url.QueryEscape("a b")
	for range 2 {
		resp := b.post(t, body(model, "hi", ""))
		require.Equal(t, http.StatusTooManyRequests, resp.StatusCode)
		require.Equal(t, "7", resp.Header.Get("Retry-After"))
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.JSONEq(t, `{"error":{"message":"The simulated model was told to fail with 429.","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}`, string(raw))
	}
	lines, err := b.lines(t, body(model, "hi", ""))
	require.NoError(t, err)
	require.Equal(t, modelsim.Answer("hi"), joined(lines, "choices.0.delta.content"))
	require.Equal(t, map[string]int64{"a b": 3}, b.sim.Stats().Keys)
}

func TestSim_LimitPerKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := modelsim.New(modelsim.Config{})
		ask := func(model string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			sim.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body(model, "hi", ""))))
			return w
		}
		model := "sim-instant?limit=3&key="
		for range 3 {
			for range 3 {
				require.Equal(t, http.StatusOK, ask(model+"a").Code)
			}
			time.Sleep(300 * time.Millisecond) // the fake clock is at three tenths of the second that the limit counts
			resp := ask(model + "a")
			require.Equal(t, http.StatusTooManyRequests, resp.Code)
			require.Equal(t, "700", resp.Header().Get("Retry-After-Ms"))
			require.Equal(t, "1", resp.Header().Get("Retry-After"))
			require.Contains(t, resp.Body.String(), "rate_limit_exceeded")
			time.Sleep(700 * time.Millisecond) // the fake clock passes the rest of it
		}
		require.Equal(t, http.StatusOK, ask(model+"b").Code, "each key has its own")
		sim.Close()
	})
}

func TestSim_Refusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"model":`, 400, "could not parse"},
		{`{"model":"sim"}`, 400, `"param":"messages"`},
		{body("gpt-x", "hi", ""), 404, "model_not_found"},
		{body("sim?speed=1", "hi", ""), 400, `Unknown directive \"speed\"`},
		{body("sim?tps=fast", "hi", ""), 400, `Directive \"tps\"`},
		{body("sim?first=1", "hi", ""), 400, `Directive \"first\"`},
		{body("sim?nul=2", "hi", ""), 400, `Directive \"nul\"`},
		{body("sim?fail=200", "hi", ""), 400, `Directive \"fail\"`},
		{body("sim?times=1", "hi", ""), 400, `needs \"key\"`},
		{body("sim?limit=1", "hi", ""), 400, `needs \"key\"`},
		{body("sim?tool=f", "hi", ""), 400, `"param":"tools"`},
		{body("sim", "hi", `,"n":0`), 400, `"param":"n"`},
		{body("sim", "hi", `,"max_tokens":0`), 400, "token limit"},
	} {
		resp := b.post(t, c.body)
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, c.status, resp.StatusCode, c.body)
		require.Contains(t, string(raw), c.want)
	}
	for path, status := range map[string]int{"/v1/models": 200, "/v1/models/sim": 200, "/v1/models/no": 404, "/sim/stats": 200, "/": 404} {
		resp, err := b.client.Get(b.url + path)
		require.NoError(t, err)
		require.Equal(t, status, resp.StatusCode, path)
		require.NoError(t, resp.Body.Close())
	}
}

func TestSim_APIKey(t *testing.T) {
	t.Parallel()
	sim := modelsim.New(modelsim.Config{APIKey: "secret"})
	for header, status := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer secret": 200} {
		r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		require.Equal(t, status, w.Code, header)
	}
}

func TestSim_Pace(t *testing.T) {
	t.Parallel()
	for model, want := range map[string]time.Duration{
		"sim?tokens=41":                  200*time.Millisecond + time.Second,
		"sim-instant?tokens=41":          0,
		"sim?first=3s&tps=10&tokens=11":  4 * time.Second,
		"sim-instant?first=3s&tokens=11": 3 * time.Second,
		"sim?first=0s&tps=0.5&tokens=2":  2 * time.Second,
		"sim?first=1s&tps=0&tokens=1000": time.Second,
	} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w := httptest.NewRecorder()
				modelsim.New(modelsim.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(body(model, "hi", ""))))
				require.Equal(t, http.StatusOK, w.Code)
				require.Equal(t, want, time.Since(began))
			})
		})
	}
}

func TestSim_CountsClientsThatLeave(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+"/v1/chat/completions", strings.NewReader(body("sim?stall=1", "hi", "")))
	require.NoError(t, err)
	resp, err := b.client.Do(req)
	require.NoError(t, err)
	require.EqualValues(t, 1, b.sim.Stats().InFlight)
	cancel()
	_, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, resp.Body.Close())
	require.Eventually(t, func() bool { s := b.sim.Stats(); return s.Disconnects == 1 && s.InFlight == 0 }, time.Minute, time.Millisecond)
}

func TestSim_Serve_StopsAtOnce(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	sim := modelsim.New(modelsim.Config{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sim.Serve(ctx, l) }()
	b := &bundle{sim: sim, url: "http://" + l.Addr().String(), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	stalled := b.post(t, body("sim?stall=0", "hi", ""))
	stop()
	require.NoError(t, <-done)
	_, err = io.ReadAll(stalled.Body)
	require.Error(t, err)
	require.Zero(t, sim.Stats().Disconnects, "the client did not leave")

	require.ErrorContains(t, modelsim.New(modelsim.Config{}).Serve(t.Context(), l), "serve simulated model", "a closed listener")
}

func client(b *bundle) *openai.Client {
	cfg := openai.DefaultConfig("")
	cfg.BaseURL, cfg.HTTPClient = b.url+"/v1", b.client
	return openai.NewClientWithConfig(cfg)
}

func TestSim_GoOpenAI(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := openai.ChatCompletionRequest{
		Model: "sim-instant?tool=get_weather&reasoning=1", N: 2,
		Messages: []openai.ChatCompletionMessage{{Role: "system", MultiContent: []openai.ChatMessagePart{{Type: "text", Text: "be"}}}, {Role: "user", Content: `a "b"`}},
		Tools:    []openai.Tool{{Type: "function", Function: &openai.FunctionDefinition{Name: "get_weather"}}},
	}
	whole, err := client(b).CreateChatCompletion(t.Context(), request)
	require.NoError(t, err)
	require.Len(t, whole.Choices, 2)
	call := whole.Choices[1].Message.ToolCalls[0].Function
	require.Equal(t, "get_weather", call.Name)
	require.JSONEq(t, `{"input":"a \"b\""}`, call.Arguments)
	require.Equal(t, openai.FinishReasonToolCalls, whole.Choices[1].FinishReason)

	stream, err := client(b).CreateChatCompletionStream(t.Context(), request)
	require.NoError(t, err)
	defer stream.Close()
	streamed, thought := "", ""
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if chunk.Choices[0].Index == 1 {
			thought += chunk.Choices[0].Delta.ReasoningContent
			for _, c := range chunk.Choices[0].Delta.ToolCalls {
				streamed += c.Function.Arguments
			}
		}
	}
	require.Equal(t, call.Arguments, streamed)
	require.Equal(t, " hmm", thought)

	request.Messages = append(request.Messages, openai.ChatCompletionMessage{Role: "tool", Content: "rain"})
	request.MaxCompletionTokens = 4
	after, err := client(b).CreateChatCompletion(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, modelsim.AnswerOf(3, "be", `a "b"`, "rain"), after.Choices[0].Message.Content, "one of four tokens was a thought")
	require.Equal(t, openai.FinishReasonLength, after.Choices[0].FinishReason)
	require.Equal(t, 8, after.Usage.CompletionTokens)
}

func BenchmarkSim_Stream(b *testing.B) {
	sim := modelsim.New(modelsim.Config{})
	request := body("sim-instant?tokens=1000", "hi", "")
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(request)))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/chunk")
}
