package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api"
	"sluice/shared/completion"
	"sluice/shared/testkit"
)

const chatPath = "/v1/chat/completions"

// ask is a request that waits for its answer while the test acts as the worker.
type ask struct {
	t     *testing.T
	leave context.CancelFunc
	got   chan struct{} // closed once there is an answer
	resp  *http.Response
	lines *bufio.Scanner
}

func (s *server) ask(t *testing.T, path, body string, header ...string) *ask {
	t.Helper()
	return s.request(t, http.MethodPost, path, body, header...)
}

func (s *server) request(t *testing.T, method, path, body string, header ...string) *ask {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	a := &ask{t: t, leave: cancel, got: make(chan struct{})}
	go func() {
		defer close(a.got)
		if a.resp, err = http.DefaultClient.Do(req); err == nil {
			a.lines = bufio.NewScanner(a.resp.Body)
			a.lines.Buffer(nil, 1<<22)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-a.got
		if a.resp != nil {
			_ = a.resp.Body.Close()
		}
	})
	return a
}

// whole is the answer's body.
func (a *ask) whole() string {
	a.t.Helper()
	<-a.got
	require.NotNil(a.t, a.resp)
	b, err := io.ReadAll(a.resp.Body)
	require.NoError(a.t, err)
	return string(b)
}

// data is the next data line, "" at the end. Comments are passed over.
func (a *ask) data() string {
	a.t.Helper()
	<-a.got
	require.NotNil(a.t, a.resp)
	for a.lines.Scan() {
		if data, ok := strings.CutPrefix(a.lines.Text(), "data: "); ok {
			return data
		}
	}
	require.NoError(a.t, a.lines.Err())
	return ""
}

// rest is the text of all further chunks, and what came instead of [DONE].
func (a *ask) rest() (text, end string) {
	a.t.Helper()
	for {
		line := a.data()
		if line == "" || line == "[DONE]" || gjson.Get(line, "error").Exists() {
			return text, line
		}
		text += gjson.Get(line, "choices.0.delta.content").Str
	}
}

func streaming(extra string) string {
	return `{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true` + extra + `}`
}

func TestChat_Stream(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, chatPath, streaming(`,"stream_options":{"include_usage":true},"x":[1]`))
	w := s.act(t)
	require.JSONEq(t, streaming(`,"stream_options":{"include_usage":true},"x":[1]`), string(w.job.Request), "every parameter reaches the worker")
	w.say(first, chunk("he"))
	w.say(chunk("llo"), stop, usage)
	w.end(completion.Completed, nil)
	head := fmt.Sprintf(`{"id":"chatcmpl-%s","object":"chat.completion.chunk","created":%d,"model":"m-2026","system_fingerprint":"fp","choices":`, strings.TrimPrefix(w.job.ID, "job_"), w.job.CreatedAt.Unix())
	for _, want := range []string{
		head + `[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}`,
		head + `[{"index":0,"delta":{"content":"he"},"finish_reason":null}],"usage":null}`,
		head + `[{"index":0,"delta":{"content":"llo"},"finish_reason":null}],"usage":null}`,
		head + `[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`,
		head + `[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
		`[DONE]`, ``,
	} {
		require.Equal(t, want, asked.data())
	}
	h := asked.resp.Header
	require.Equal(t, "text/event-stream", h.Get("Content-Type"))
	require.Equal(t, w.job.ID, h.Get("X-Sluice-Job-Id"))
	require.Equal(t, "completions.acme."+w.job.ID, h.Get("X-Sluice-Subject"))
	require.NotEmpty(t, h.Get("X-Request-Id"))
}

// Whoever waits for an answer listens before the job is accepted. However that ends, nobody listens afterwards.
func TestChat_ListensNoLonger(t *testing.T) {
	t.Parallel()
	n := testkit.NATS(t)
	nc, err := n.Connect()
	require.NoError(t, err)
	s := setupOn(t, testkit.BackendOver(t, nc), n)
	answered := func(body string, header ...string) {
		asked := s.ask(t, chatPath, body, header...)
		w := s.act(t)
		w.say(first, chunk("x"), stop)
		w.end(completion.Completed, nil)
		require.NotEmpty(t, asked.whole())
	}
	answered(streaming(""))
	before := nc.NumSubscriptions()

	answered(streaming(""), "Idempotency-Key", "k")
	require.NotEmpty(t, s.ask(t, chatPath, streaming(""), "Idempotency-Key", "k").whole(), "the job is there")
	answered(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	left := s.ask(t, chatPath, streaming(""))
	w := s.act(t)
	left.leave()
	require.Eventually(t, func() bool {
		job, err := s.back.Store.Get(t.Context(), w.job.Ref())
		return err == nil && job.CancelRequested
	}, 10*time.Second, time.Millisecond)
	w.end(completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	resp, _ := s.do(t, http.MethodPost, chatPath, `{"model":7}`)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	resp, _ = s.do(t, http.MethodPost, "/v1/responses", `{"model":"m","input":"hi","background":true}`)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Eventually(t, func() bool { return nc.NumSubscriptions() == before }, 10*time.Second, time.Millisecond)
}

func TestChat_StreamWithoutUsage(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, chatPath, streaming(""))
	w := s.act(t)
	w.say(first, chunk("hello"), stop, usage)
	w.end(completion.Completed, nil)
	for line := asked.data(); line != "[DONE]"; line = asked.data() {
		require.False(t, gjson.Get(line, "usage").Exists(), line)
		require.NotEmpty(t, gjson.Get(line, "choices").Array(), line)
	}
	require.Empty(t, asked.data())
}

func TestChat_Whole(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, chatPath, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	w := s.act(t)
	w.say(first, chunk("he<\u00e9"), stop, usage)
	w.end(completion.Completed, nil)
	require.JSONEq(t, fmt.Sprintf(`{"id":"chatcmpl-%s","object":"chat.completion","created":%d,"model":"m-2026","system_fingerprint":"fp",
		"choices":[{"index":0,"message":{"role":"assistant","content":"he<é","refusal":null},"logprobs":null,"finish_reason":"stop"}],
		"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, strings.TrimPrefix(w.job.ID, "job_"), w.job.CreatedAt.Unix()), asked.whole())
	require.Equal(t, "application/json", asked.resp.Header.Get("Content-Type"))
	require.Equal(t, w.job.ID, asked.resp.Header.Get("X-Sluice-Job-Id"))
}

// The next attempt says the same: the client notices nothing.
func TestChat_RetryContinuesExactly(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, chatPath, streaming(""))
	w := s.act(t)
	w.say(first, chunk("hel"), chunk("lo wo"))
	require.Equal(t, "assistant", gjson.Get(asked.data(), "choices.0.delta.role").Str)
	require.Equal(t, "hel", gjson.Get(asked.data(), "choices.0.delta.content").Str)
	w.end(completion.Queued, completion.NewError(completion.CodeCut, ""))
	w.start()
	w.say(first, chunk("hell"))
	w.say(chunk("o world"), chunk("!"))
	w.say(stop, usage)
	w.end(completion.Completed, nil)
	text, end := asked.rest()
	require.Equal(t, "lo world!", text)
	require.Equal(t, "[DONE]", end)
}

// The next attempt says something else: no text comes twice, and the stream ends with an error.
func TestChat_RetryDiverges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says    []string
		ends    bool
		cancels bool
		header  []string
	}{
		"Other":   {says: []string{first, chunk("help")}, cancels: true},
		"Kept":    {says: []string{first, chunk("help")}, header: []string{"X-Sluice-On-Disconnect", "continue"}},
		"Shorter": {says: []string{first, chunk("hel"), stop}, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			asked := s.ask(t, chatPath, streaming(""), c.header...)
			w := s.act(t)
			w.say(first, chunk("hello"))
			asked.data()
			require.Equal(t, "hello", gjson.Get(asked.data(), "choices.0.delta.content").Str)
			w.end(completion.Queued, completion.NewError(completion.CodeCut, ""))
			w.start()
			w.say(c.says...)
			if c.ends {
				w.end(completion.Completed, nil)
			}
			text, end := asked.rest()
			require.Empty(t, text)
			require.Equal(t, "stream_diverged", gjson.Get(end, "error.code").Str, end)
			require.Equal(t, "server_error", gjson.Get(end, "error.type").Str, end)
			require.Empty(t, asked.data())
			job, err := s.back.Store.Get(t.Context(), w.job.Ref())
			require.NoError(t, err)
			require.Equal(t, c.cancels, job.CancelRequested)
		})
	}
}

// Errors before the first byte are HTTP errors, for streams as well.
func TestChat_FailsEarly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failure     completion.Error
		status      int
		code, param string
		retry       string
	}{
		"Refused":     {completion.Error{Code: completion.CodeUpstreamRejected, Message: "too long", UpstreamStatus: 400, UpstreamCode: "context_length_exceeded", Param: "messages"}, 400, "context_length_exceeded", "messages", "false"},
		"Model":       {completion.Error{Code: completion.CodeUpstreamRejected, UpstreamStatus: 404, UpstreamCode: "model_not_found"}, 404, "model_not_found", "", "false"},
		"Form":        {completion.Error{Code: completion.CodeUpstreamRejected, UpstreamStatus: 422}, 422, "upstream_rejected", "", "false"},
		"OurKey":      {completion.Error{Code: completion.CodeUpstreamRejected, UpstreamStatus: 401}, 502, "upstream_rejected", "", "false"},
		"RateLimited": {completion.Error{Code: completion.CodeRateLimited, Retryable: true, UpstreamStatus: 429, RetryAfter: completion.Wait(2500 * time.Millisecond)}, 429, "upstream_rate_limited", "", ""},
		"Quota":       {completion.Error{Code: completion.CodeQuota, UpstreamStatus: 429}, 429, "insufficient_quota", "", "false"},
		"Down":        {completion.Error{Code: completion.CodeUnreachable, Retryable: true}, 502, "upstream_unreachable", "", ""},
	} {
		for _, body := range []string{streaming(""), `{"model":"m","messages":[{"role":"user","content":"hi"}]}`} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := setup(t, func(c *api.Config) { c.Heartbeat = time.Minute })
				asked := s.ask(t, chatPath, body)
				w := s.act(t)
				w.end(completion.Failed, &c.failure)
				text := asked.whole()
				require.Equal(t, c.status, asked.resp.StatusCode, text)
				require.Equal(t, c.code, gjson.Get(text, "error.code").Str)
				require.Equal(t, c.param, gjson.Get(text, "error.param").Str)
				require.Equal(t, c.retry, asked.resp.Header.Get("X-Should-Retry"))
				if c.failure.RetryAfter > 0 {
					require.Equal(t, "3", asked.resp.Header.Get("Retry-After"))
					require.Equal(t, "2500", asked.resp.Header.Get("Retry-After-Ms"))
				}
				require.Equal(t, w.job.ID, asked.resp.Header.Get("X-Sluice-Job-Id"))
			})
		}
	}
}

// After the first byte, which may be a comment, an error is a frame of the stream.
func TestChat_FailsLate(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, chatPath, streaming(""))
	<-asked.got // a heartbeat began the stream
	require.Equal(t, http.StatusOK, asked.resp.StatusCode)
	w := s.act(t)
	w.end(completion.Failed, completion.NewError(completion.CodeUnreachable, ""))
	line := asked.data()
	require.JSONEq(t, `{"error":{"message":"The upstream could not be reached.","type":"server_error","param":null,"code":"upstream_unreachable"}}`, line)
	require.Empty(t, asked.data(), "no [DONE] after an error")
}

// What becomes of a job whose client leaves.
func TestChat_I9_ClientLeaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, header, value string
		cancels             bool
	}{
		"Plain":         {streaming(""), "X", "", true},
		"Whole":         {`{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "X", "", true},
		"Stored":        {streaming(`,"store":true`), "X", "", false},
		"Key":           {streaming(""), "Idempotency-Key", "k", false},
		"Continue":      {streaming(""), "X-Sluice-On-Disconnect", "continue", false},
		"StoredCancels": {streaming(`,"store":true`), "X-Sluice-On-Disconnect", "cancel", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			asked := s.ask(t, chatPath, c.body, c.header, c.value)
			w := s.act(t)
			w.say(first, chunk("hel"))
			if strings.Contains(c.body, "stream") {
				asked.data()
			}
			asked.leave()
			state := func() completion.Job {
				job, err := s.back.Store.Get(t.Context(), w.job.Ref())
				require.NoError(t, err)
				return job
			}
			if c.cancels {
				require.Eventually(t, func() bool { return state().CancelRequested }, 10*time.Second, time.Millisecond)
				return
			}
			s.stop() // waits for all requests to end
			require.False(t, state().CancelRequested)
		})
	}
}

// A stopping server lets requests end, for a while.
func TestChat_ServerStops(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *api.Config) { c.StopLimit = 30 * time.Second })
	asked := s.ask(t, chatPath, streaming(""))
	w := s.act(t)
	w.say(first)
	asked.data()
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	require.Eventually(t, func() bool {
		resp, err := http.Get(s.url + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond)
	w.say(chunk("hello"), stop)
	w.end(completion.Completed, nil)
	text, end := asked.rest()
	require.Equal(t, "hello", text)
	require.Equal(t, "[DONE]", end)
	<-stopped
}

func TestChat_I7_SameKey(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, chatPath, streaming(""), "Idempotency-Key", "k")
	w := s.act(t)
	w.say(first, chunk("hel"))
	asked.data()
	again := s.ask(t, chatPath, streaming(""), "Idempotency-Key", "k")
	require.NotEmpty(t, again.data())
	require.Equal(t, "true", again.resp.Header.Get("Idempotent-Replayed"))
	w.say(chunk("lo"), stop)
	w.end(completion.Completed, nil)
	for _, a := range []*ask{asked, again, s.ask(t, chatPath, streaming(""), "Idempotency-Key", "k")} {
		text, end := a.rest()
		require.Equal(t, "hello", text)
		require.Equal(t, "[DONE]", end)
	}
	resp, body := s.do(t, http.MethodPost, chatPath, streaming(`,"n":2`), "Idempotency-Key", "k")
	require.Equal(t, http.StatusConflict, resp.StatusCode, body)
	require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
}

// An answer that is larger than an event, and one whose log is gone.
func TestChat_LargeAnswer(t *testing.T) {
	t.Parallel()
	s := setup(t)
	large := strings.Repeat("x", 2*completion.MaxEventBytes)
	body := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	asked := s.ask(t, chatPath, body, "Idempotency-Key", "k")
	w := s.act(t)
	_, err := w.said.Add([]byte(first))
	require.NoError(t, err)
	_, err = w.said.Add([]byte(chunk(large)))
	require.NoError(t, err)
	w.end(completion.Completed, nil)
	require.Equal(t, large, gjson.Get(asked.whole(), "choices.0.message.content").Str)
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	s := setup(t)
	piece := func(text, finish string) string {
		return `{"id":"up","object":"text_completion","created":7,"model":"m","choices":[{"index":0,"text":"` + text + `","logprobs":null,"finish_reason":` + finish + `}]}`
	}
	asked := s.ask(t, "/v1/completions", `{"model":"m","prompt":"hi","stream":true}`)
	w := s.act(t)
	require.Equal(t, completion.EndpointCompletions, w.job.Endpoint)
	w.say(piece("he", "null"), piece("llo", `"stop"`))
	w.end(completion.Completed, nil)
	id := "cmpl-" + strings.TrimPrefix(w.job.ID, "job_")
	require.JSONEq(t, fmt.Sprintf(`{"id":%q,"object":"text_completion","created":%d,"model":"m","choices":[{"index":0,"text":"he","logprobs":null,"finish_reason":null}]}`, id, w.job.CreatedAt.Unix()), asked.data())
	require.Equal(t, "llo", gjson.Get(asked.data(), "choices.0.text").Str)
	require.Equal(t, "[DONE]", asked.data())

	asked = s.ask(t, "/v1/completions", `{"model":"m","prompt":["hi"]}`)
	w = s.act(t)
	w.say(piece("he", "null"), piece("llo", `"stop"`))
	w.end(completion.Completed, nil)
	body := asked.whole()
	require.Equal(t, "text_completion", gjson.Get(body, "object").Str, body)
	require.Equal(t, "hello", gjson.Get(body, "choices.0.text").Str)
	require.False(t, gjson.Get(body, "choices.0.message").Exists())
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	s := setup(t)
	asked := s.ask(t, "/v1/embeddings", `{"model":"m","input":["a","b"],"dimensions":2}`)
	w := s.act(t)
	require.Equal(t, completion.EndpointEmbeddings, w.job.Endpoint)
	result := `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-3]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}`
	w.finish(completion.Outcome{State: completion.Completed, Result: []byte(result), At: time.Now()})
	require.Equal(t, result, asked.whole(), "as the upstream wrote it")
}

// A revocation ends what the key has asked for, and stops the spending.
func TestChat_I8_KeyIsRevoked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	key := completion.KeyOf("sk-sluice-soon-gone", "acme", completion.Scopes, time.Now())
	require.NoError(t, s.back.Store.AddKey(t.Context(), key))
	asked := s.ask(t, chatPath, streaming(""), "Authorization", "Bearer sk-sluice-soon-gone")
	w := s.act(t)
	w.say(first)
	require.NotEmpty(t, asked.data())
	_, err := s.back.Store.RevokeKey(t.Context(), "acme", key.ID, time.Now())
	require.NoError(t, err)
	_, end := asked.rest()
	require.Equal(t, "invalid_api_key", gjson.Get(end, "error.code").Str, end)
	require.Eventually(t, func() bool {
		job, err := s.back.Store.Get(t.Context(), w.job.Ref())
		require.NoError(t, err)
		return job.CancelRequested
	}, 10*time.Second, time.Millisecond)
}
