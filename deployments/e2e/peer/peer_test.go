// Package peer_test runs Sluice against software that nobody of Sluice wrote: two servers that mock the OpenAI API, from
// the npm registry, as upstreams, and the official NATS client for WebSocket as a viewer.
package peer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/deployments/standalone"
	"sluice/shared/client"
	"sluice/shared/completion"
)

func TestMain(m *testing.M) {
	dir, err := install()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	modules = dir
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// start runs the all-in-one with the given settings on free ports until the test ends.
func start(t *testing.T, settings ...string) (*standalone.Standalone, *client.Client) {
	t.Helper()
	var c standalone.Config
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse(append([]string{
		"--http-addr=127.0.0.1:0", "--nats-addr=127.0.0.1:0", "--websocket-addr=127.0.0.1:0", "--data-dir=" + t.TempDir(),
		"--retry-base=10ms", "--interactive-attempts=2", "--drain-limit=100ms",
	}, settings...))
	require.NoError(t, err)
	s, err := standalone.New(t.Context(), c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	api, err := client.New(s.HTTPURL(), nil)
	require.NoError(t, err)
	return s, api
}

// ask submits a prompt, follows the job to its end and returns both the streamed events and the stored job.
func ask(t *testing.T, api *client.Client, request string) ([]completion.Event, client.Job) {
	t.Helper()
	job, err := api.Submit(t.Context(), client.Submission{Request: json.RawMessage(request)})
	require.NoError(t, err)
	var events []completion.Event
	for e, err := range api.Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
		events = append(events, e)
	}
	job, err = api.Get(t.Context(), job.ID)
	require.NoError(t, err)
	return events, job
}

func prompt(text string) string {
	return fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":%q}],"x_unknown":{"deep":[1.50]},"seed":7}`, text)
}

// said is the text of the last attempt's deltas.
func said(events []completion.Event) string {
	var b strings.Builder
	for _, e := range events {
		if e.Type == completion.EventStarted {
			b.Reset()
		}
		for _, c := range e.Chunks {
			b.WriteString(gjson.GetBytes(c, "choices.0.delta.content").String())
		}
	}
	return b.String()
}

func startAimock(t *testing.T) string {
	t.Helper()
	port := freePort(t)
	node(t, "node_modules/@copilotkit/aimock/dist/cli.js", "-p", port, "-f", "testdata/aimock.json", "--strict", "--log-level", "warn", "-c", "3")
	url := "http://127.0.0.1:" + port
	answers(t, url+"/health")
	return url
}

func TestAimock(t *testing.T) {
	t.Parallel()
	mock := startAimock(t)
	_, api := start(t, "--upstream-url="+mock+"/v1", "--upstream-key=sk-test")

	t.Run("text", func(t *testing.T) {
		t.Parallel()
		const want = "Hello! How can I help you today? 😀 “quoted” <b>"
		events, job := ask(t, api, prompt("hello"))
		require.Equal(t, completion.Completed, job.State, "%v", job.Error)
		require.Equal(t, want, gjson.GetBytes(job.Result, "choices.0.message.content").String())
		require.Equal(t, want, said(events), "I4")
		require.Positive(t, gjson.GetBytes(job.Usage, "total_tokens").Int(), "usage was asked for and stored")
		require.Equal(t, "stop", job.FinishReason)
	})
	t.Run("tool calls", func(t *testing.T) {
		t.Parallel()
		_, job := ask(t, api, prompt("weather"))
		calls := gjson.GetBytes(job.Result, "choices.0.message.tool_calls").Array()
		require.Len(t, calls, 2)
		require.Equal(t, "get_weather", calls[0].Get("function.name").String())
		require.JSONEq(t, `{"location":"San Francisco","unit":"fahrenheit"}`, calls[0].Get("function.arguments").String())
		require.Equal(t, "get_time", calls[1].Get("function.name").String())
		require.JSONEq(t, `{"zone":"PST"}`, calls[1].Get("function.arguments").String())
		require.Equal(t, "tool_calls", job.FinishReason)
	})
	t.Run("length and usage", func(t *testing.T) {
		t.Parallel()
		_, job := ask(t, api, prompt("cut short"))
		require.Equal(t, "length", job.FinishReason)
		require.JSONEq(t, `{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}`, string(job.Usage))
	})
	for text, want := range map[string]struct {
		code     completion.Code
		attempts int
	}{
		"limited": {completion.CodeRateLimited, 2},
		"broken":  {completion.CodeUpstream, 2},
		"refused": {completion.CodeUpstreamRejected, 1},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			events, job := ask(t, api, prompt(text))
			require.Equal(t, completion.Failed, job.State)
			require.Equal(t, want.code, job.Error.Code)
			require.Equal(t, want.attempts, job.Attempt)
			require.Equal(t, completion.EventFailed, events[len(events)-1].Type)
			require.NotContains(t, job.Error.Message, "127.0.0.1", "no address of the upstream reaches a client")
		})
	}
	t.Cleanup(func() {
		resp, err := http.Get(mock + "/__aimock/journal")
		require.NoError(t, err)
		defer resp.Body.Close()
		journal, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		body := gjson.GetBytes(journal, `#(path=="/v1/chat/completions").body`)
		require.JSONEq(t, `{"deep":[1.5]}`, body.Get("x_unknown").Raw, "unknown parameters reach the upstream")
		require.EqualValues(t, 7, body.Get("seed").Int())
		require.True(t, body.Get("stream").Bool())
		require.True(t, body.Get("stream_options.include_usage").Bool())
	})
}

func TestMockAPI(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	node(t, "node_modules/openai-mock-api/dist/cli.js", "--config", "testdata/mock-api.yaml", "--port", port)
	url := "http://127.0.0.1:" + port
	answers(t, url+"/v1/models")

	_, api := start(t, "--upstream-url="+url+"/v1", "--upstream-key=test-key")
	events, job := ask(t, api, prompt("Hello, how are you?"))
	require.Equal(t, completion.Completed, job.State, "%v", job.Error)
	const want = "Hello! I'm doing well, thank you for asking."
	require.Equal(t, want, gjson.GetBytes(job.Result, "choices.0.message.content").String())
	require.Equal(t, want, said(events))

	_, api = start(t, "--upstream-url="+url+"/v1", "--upstream-key=wrong")
	_, job = ask(t, api, prompt("Hello, how are you?"))
	require.Equal(t, completion.Failed, job.State)
	require.Equal(t, completion.CodeUpstreamRejected, job.Error.Code)
	require.Equal(t, 1, job.Attempt)
}

func TestWebSocketViewer_I3(t *testing.T) {
	t.Parallel()
	s, api := start(t)
	for name, c := range map[string]struct {
		model string
		early bool // the viewer comes while the model speaks
		cut   int  // how often its connection is cut
	}{
		"live":         {"sim?tokens=60&tps=100", true, 0},
		"after":        {"sim?tokens=60&tps=0&first=0ms", false, 0},
		"disconnected": {"sim?tokens=200&tps=100", true, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job, err := api.Submit(t.Context(), client.Submission{Request: json.RawMessage(`{"model":"` + c.model + `","messages":[{"role":"user","content":"hi"}]}`)})
			require.NoError(t, err)
			var viewer <-chan []string
			if c.early {
				viewer = lines(t, cutting(t, s.WebSocketURL(), c.cut), job.Subject)
			}
			var want []string
			for e, err := range api.Follow(t.Context(), job.ID, 0) {
				require.NoError(t, err)
				line, err := json.Marshal(e.Seq)
				require.NoError(t, err)
				want = append(want, string(line)+" "+string(e.Type))
			}
			if viewer == nil {
				viewer = lines(t, s.WebSocketURL(), job.Subject)
			}
			var got []string
			for _, line := range <-viewer {
				got = append(got, gjson.Get(line, "seq").String()+" "+gjson.Get(line, "type").String())
			}
			require.Equal(t, want, got, "every event once and in order")
		})
	}
}

// cutting puts a proxy before a WebSocket address that drops each of the first n connections after some bytes.
func cutting(t *testing.T, address string, n int) string {
	t.Helper()
	if n == 0 {
		return address
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for i := 0; ; i++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(address, "ws://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			limit := int64(1 << 40)
			if i < n {
				limit = 8 << 10
			}
			conns.Go(func() { _, _ = io.Copy(out, in); _ = out.Close(); _ = in.Close() })
			conns.Go(func() { _, _ = io.CopyN(in, out, limit); _ = out.Close(); _ = in.Close() })
		}
	})
	return "ws://" + l.Addr().String()
}
