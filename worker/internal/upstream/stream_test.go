package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/shared/completion"
	"sluice/shared/modelsim"

	openai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	*Upstream
	sim *modelsim.Sim
}

// setup returns an upstream whose provider is handler, or the simulated model if it is nil.
func setup(tb testing.TB, handler http.Handler, cfg Config) *bundle {
	tb.Helper()
	sim := modelsim.New(modelsim.Config{})
	if handler == nil {
		handler = sim
	}
	server := httptest.NewServer(handler)
	cfg.BaseURL = server.URL + "/v1/"
	u, err := New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() {
		sim.Close()
		u.Close()
		server.Close()
	})
	return &bundle{Upstream: u, sim: sim}
}

func ask(model, more string) json.RawMessage {
	m, _ := json.Marshal(model)
	return json.RawMessage(`{"model":` + string(m) + `,"messages":[{"role":"user","content":"hi"}]` + more + `}`)
}

// collect reads a stream to its end.
func collect(u *Upstream, ctx context.Context, request json.RawMessage) (chunks []json.RawMessage, err error) {
	for chunk, failure := range u.Stream(ctx, completion.EndpointChat, request) {
		if failure != nil {
			return chunks, failure
		}
		chunks = append(chunks, bytes.Clone(chunk))
	}
	return chunks, nil
}

func textOf(chunks []json.RawMessage) string {
	var b strings.Builder
	for _, c := range chunks {
		b.WriteString(gjson.GetBytes(c, "choices.0.delta.content").String())
	}
	return b.String()
}

func requireCode(t *testing.T, want completion.Code, err error) *completion.Error {
	t.Helper()
	var own *completion.Error
	require.ErrorAs(t, err, &own)
	require.Equal(t, want, own.Code, "%v", err)
	require.NotContains(t, own.Message, "127.0.0.1")
	return own
}

func events(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, l := range lines {
			_, _ = io.WriteString(w, l)
		}
	}
}

func TestUpstream_Stream(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, Config{})
	require.Equal(t, "default", b.Name())
	chunks, err := collect(b.Upstream, t.Context(), ask("sim-instant", ""))
	require.NoError(t, err)
	require.Equal(t, modelsim.Answer("hi"), textOf(chunks))
	require.True(t, gjson.GetBytes(chunks[len(chunks)-1], "usage.total_tokens").Exists(), "usage was asked for")
}

func TestUpstream_SimulatedFaults(t *testing.T) {
	t.Parallel()
	for query, code := range map[string]completion.Code{
		"cut=3": completion.CodeCut, "cut=0": completion.CodeCut, "reset=3": completion.CodeCut, "reset=0": completion.CodeUnreachable,
		"nofinish=1": completion.CodeCut, "nodone=1": "", "empty=1": completion.CodeUpstreamGarbage, "garbage=2": completion.CodeUpstreamGarbage,
		"error_frame=2": completion.CodeUpstream, "error_frame=0&code=rate_limit_exceeded": completion.CodeRateLimited,
		"fail=429&retry_after=2": completion.CodeRateLimited, "fail=429&code=insufficient_quota": completion.CodeQuota, "fail=503": completion.CodeUpstream,
		"fail=400": completion.CodeUpstreamRejected, "comments=1&id_changes=1&null_content=1&nul=1&split_surrogate=1&reasoning=2&logprobs=1": "",
		"keepalive_close=1": "", "tokens=0": "",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil, Config{})
			_, err := collect(b.Upstream, t.Context(), ask("sim-instant?"+query, ""))
			if code == "" {
				require.NoError(t, err)
				return
			}
			e := requireCode(t, code, err)
			if strings.Contains(query, "retry_after") {
				require.Equal(t, 2*time.Second, time.Duration(e.RetryAfter))
				require.Equal(t, http.StatusTooManyRequests, e.UpstreamStatus)
			}
		})
	}
}

func TestUpstream_SendsTheWholeRequest(t *testing.T) {
	t.Parallel()
	var body string
	var header http.Header
	b := setup(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body, header = r.URL.Path+string(raw), r.Header
		events("data: "+stop+"\n\ndata: [DONE]\n\n")(w, r)
	}), Config{APIKey: "secret"})
	_, err := collect(b.Upstream, completion.WithRequestID(t.Context(), "req_1"), json.RawMessage(`{"model":"o1-mini","max_tokens":5,"temperature":1.0,"odd":[1e3]}`))
	require.NoError(t, err)
	require.Equal(t, `/v1/chat/completions{"model":"o1-mini","max_tokens":5,"temperature":1.0,"odd":[1e3],"stream":true,"stream_options":{"include_usage":true}}`, body)
	require.Equal(t, "Bearer secret", header.Get("Authorization"))
	require.Equal(t, "application/json", header.Get("Content-Type"))
	require.Equal(t, "identity", header.Get("Accept-Encoding"))
	require.Equal(t, "req_1", header.Get("X-Client-Request-Id"))
	require.Equal(t, "sluice", header.Get("User-Agent"))
}

func TestUpstream_OddProviders(t *testing.T) {
	t.Parallel()
	long := `{"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", 1<<20) + `"},"finish_reason":null}]}`
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		chunks  []string
		code    completion.Code
	}{
		"crlf, no space, no DONE":   {events("data:"+hello+"\r\n\r\n", "data:"+stop+"\r\n\r\n"), []string{hello, stop}, ""},
		"noise":                     {events(strings.Repeat(": ping\n\nevent: ping\n", 1000), "data: "+hello+"\n\n", strings.Repeat(": ping\n\n", 1000), "data: "+stop+"\n\ndata: [DONE]\n\n"), []string{hello, stop}, ""},
		"a chunk of 1 MB":           {events("data: " + long + "\n\ndata: " + stop + "\n\ndata: [DONE]\n\n"), []string{long, stop}, ""},
		"broken UTF-8":              {events("data: {\"a\":\"\xff\"}\n\ndata: [DONE]\n\n"), []string{`{"a":"\udcff"}`}, ""},
		"null error":                {events("data: {\"error\":null,\"a\":1}\n\ndata: [DONE]\n\n"), []string{`{"error":null,"a":1}`}, ""},
		"error event in the middle": {events("data: "+hello+"\n\n", "event: error\ndata: {\"error\":{\"message\":\"x\",\"code\":503}}\n\n"), []string{hello}, completion.CodeUpstream},
		"error as the last line":    {events("data: " + hello + "\n\ndata: {\"error\":{\"message\":\"x\"}}"), []string{hello}, completion.CodeUpstream},
		"whole answer":              {events(`{"object":"chat.completion","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}`), []string{`{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}`}, ""},
		"page with status 502": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html>"+strings.Repeat("x", 1<<20))
		}, nil, completion.CodeUpstream},
		"page with status 200": {events("<html>\n"), nil, completion.CodeUpstreamGarbage},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/else", http.StatusTemporaryRedirect)
		}, nil, completion.CodeUpstreamRejected},
		"gzip": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, "data: "+stop+"\n\ndata: [DONE]\n\n")
			_ = z.Close()
		}, []string{stop}, ""},
		"other encoding": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "br") }, nil, completion.CodeUpstreamGarbage},
		"too large":      {events("data: "+hello+"\n\n", strings.Repeat(": ping\n", 1<<20)), []string{hello}, completion.CodeAnswerTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, c.handler, Config{MaxAnswerBytes: 4 << 20})
			chunks, err := collect(b.Upstream, t.Context(), ask("m", ""))
			require.Len(t, chunks, len(c.chunks))
			for i, want := range c.chunks {
				require.Equal(t, want, string(chunks[i]))
			}
			if c.code == "" {
				require.NoError(t, err)
				return
			}
			requireCode(t, c.code, err)
		})
	}
}

func TestUpstream_100kChunks(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, Config{})
	chunks, err := collect(b.Upstream, t.Context(), ask("sim-instant?tokens=100000", ""))
	require.NoError(t, err)
	require.Equal(t, modelsim.AnswerOf(100000, "hi"), textOf(chunks))
}

func TestUpstream_Unreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, base := range map[string]string{
		"refused": "http://" + l.Addr().String(),
		"no name": "http://nobody.invalid",
		"not TLS": strings.Replace(plain.URL, "http:", "https:", 1),
		"no port": "http://127.0.0.1:1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := New(Config{BaseURL: base})
			require.NoError(t, err)
			t.Cleanup(u.Close)
			_, err = collect(u, t.Context(), ask("m", ""))
			e := requireCode(t, completion.CodeUnreachable, err)
			require.True(t, e.Retryable)
			require.Error(t, e.Cause)
		})
	}
}

func TestUpstream_I9_CancelClosesTheConnection(t *testing.T) {
	t.Parallel()
	own := completion.NewError(completion.CodeDraining, "")
	for name, c := range map[string]struct {
		cause error
		code  completion.Code
	}{
		"cancel":    {completion.ErrCancelled, completion.CodeCancelled},
		"own error": {own, completion.CodeDraining},
		"deadline":  {fmt.Errorf("limit: %w", context.DeadlineExceeded), completion.CodeTimeout},
		"plain":     {nil, completion.CodeCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil, Config{})
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var last error
			for _, err := range b.Stream(ctx, completion.EndpointChat, ask("sim?first=0s&tps=0&stall=0", "")) {
				cancel(c.cause)
				last = err
			}
			requireCode(t, c.code, last)
			if c.cause != nil {
				require.ErrorIs(t, last, c.cause)
			} else {
				require.ErrorIs(t, last, context.Canceled)
			}
			requireDisconnect(t, b.sim)
		})
	}
}

func requireDisconnect(t *testing.T, sim *modelsim.Sim) {
	t.Helper()
	require.Eventually(t, func() bool { s := sim.Stats(); return s.Disconnects == 1 && s.InFlight == 0 }, time.Minute, time.Millisecond)
}

func TestUpstream_CancelBeforeTheHeader(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	left := make(chan struct{})
	b := setup(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel(completion.ErrCancelled)
		<-r.Context().Done()
		close(left)
	}), Config{})
	_, err := collect(b.Upstream, ctx, ask("m", ""))
	requireCode(t, completion.CodeCancelled, err)
	require.ErrorIs(t, err, completion.ErrCancelled)
	<-left
}

func TestUpstream_LeavingTheLoopClosesTheConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, Config{})
	for _, err := range b.Stream(t.Context(), completion.EndpointChat, ask("sim?first=0s&tps=0&stall=2", "")) {
		require.NoError(t, err)
		break
	}
	requireDisconnect(t, b.sim)
}

func TestUpstream_KeptConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	var last atomic.Pointer[string]
	var changes atomic.Int64
	sim := modelsim.New(modelsim.Config{})
	b := setup(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l := last.Swap(&r.RemoteAddr); l == nil || *l != r.RemoteAddr {
			changes.Add(1)
		}
		sim.ServeHTTP(w, r)
	}), Config{})
	for range 10 {
		_, err := collect(b.Upstream, t.Context(), ask("sim-instant", ""))
		require.NoError(t, err)
	}
	require.Less(t, changes.Load(), int64(5), "a busy machine may miss the end of a body, but not each time")
}

func TestUpstream_KeepAliveRaceIsSentAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, Config{})
	_, err := collect(b.Upstream, t.Context(), ask("sim-instant?keepalive_close=1", ""))
	require.NoError(t, err)
	chunks, err := collect(b.Upstream, t.Context(), ask("sim-instant", ""))
	require.NoError(t, err, "the server closed the kept connection when it was used again")
	require.Equal(t, modelsim.Answer("hi"), textOf(chunks))
	require.EqualValues(t, 2, b.sim.Stats().Requests)
}

func TestUpstream_NewConnectionThatFailsIsNotSentAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, Config{})
	_, err := collect(b.Upstream, t.Context(), ask("sim?reset=0&key=k", ""))
	requireCode(t, completion.CodeUnreachable, err)
	require.EqualValues(t, 1, b.sim.Stats().Keys["k"])
}

func TestUpstream_SentAgainOnlyOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, Config{})
	_, err := collect(b.Upstream, t.Context(), ask("sim-instant", ""))
	require.NoError(t, err)
	_, err = collect(b.Upstream, t.Context(), ask("sim?reset=0&key=k", ""))
	requireCode(t, completion.CodeUnreachable, err)
	require.EqualValues(t, 2, b.sim.Stats().Keys["k"])
}

func TestUpstream_HTTP2(t *testing.T) {
	t.Parallel()
	sim := modelsim.New(modelsim.Config{})
	server := httptest.NewUnstartedServer(sim)
	server.EnableHTTP2 = true
	server.StartTLS()
	u, err := New(Config{BaseURL: server.URL + "/v1"})
	require.NoError(t, err)
	u.pool.TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	t.Cleanup(func() {
		sim.Close()
		u.Close()
		server.Close()
	})
	chunks, err := collect(u, t.Context(), ask("sim-instant", ""))
	require.NoError(t, err)
	require.Equal(t, modelsim.Answer("hi"), textOf(chunks))
	_, err = collect(u, t.Context(), ask("sim?first=0s&tps=0&cut=2", ""))
	requireCode(t, completion.CodeCut, err)
	for _, err := range u.Stream(t.Context(), completion.EndpointChat, ask("sim?first=0s&tps=0&stall=2", "")) {
		require.NoError(t, err)
		break
	}
	requireDisconnect(t, sim)
}

func TestNew_ChecksItsConfig(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{},
		{BaseURL: "api.example.com/v1"},
		{BaseURL: "ftp://x"},
		{BaseURL: "http://"},
		{BaseURL: "http://a b"},
		{BaseURL: "http://user:pw@x"},
		{BaseURL: "http://x?a=1"},
		{BaseURL: "http://x", IdleLimit: -1},
		{BaseURL: "http://x", MaxAnswerBytes: -1},
	} {
		_, err := New(cfg)
		require.ErrorContains(t, err, `configure upstream "default"`, "%+v", cfg)
	}
	b := setup(t, nil, Config{})
	_, err := collect(b.Upstream, t.Context(), json.RawMessage(`{`))
	requireCode(t, completion.CodeInvalidJSON, err)
}

// BenchmarkStream compares a stream with a bare go-openai loop over the same answer of 1,000 chunks.
func BenchmarkStream(b *testing.B) {
	const chunks = 1000
	var answer strings.Builder
	for range chunks {
		answer.WriteString(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n")
	}
	u := setup(b, events(answer.String(), "data: "+stop+"\n\ndata: [DONE]\n\n"), Config{})
	perChunk := func(b *testing.B) {
		b.Helper()
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunks, "ns/chunk")
	}
	b.Run("upstream", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := collect(u.Upstream, b.Context(), ask("m", ""))
			require.NoError(b, err)
		}
		perChunk(b)
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		cfg := u.openai
		cfg.HTTPClient = &http.Client{Transport: u.pool}
		client := openai.NewClientWithConfig(cfg)
		for b.Loop() {
			stream, err := client.CreateChatCompletionStream(b.Context(), openai.ChatCompletionRequest{Model: "m"})
			require.NoError(b, err)
			for err == nil {
				_, err = stream.RecvRaw()
			}
			require.ErrorIs(b, err, io.EOF)
			require.NoError(b, stream.Close())
		}
		perChunk(b)
	})
}
