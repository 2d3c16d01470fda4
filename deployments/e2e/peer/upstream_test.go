package peer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

const aimockFixtures = "testdata/aimock.json"

// startAimock runs @copilotkit/aimock, which answers as its fixtures say.
func startAimock(t *testing.T) string {
	t.Helper()
	out := node(t, modules+"/@copilotkit/aimock/dist/cli.js", "-p", "0", "-f", aimockFixtures, "--strict", "-c", "3")
	url := said(out, `listening on (\S+)`)
	require.NotEmpty(t, url, "aimock does not listen")
	return url
}

// fixture is aimock's answer to a prompt.
func fixture(t *testing.T, prompt string) gjson.Result {
	t.Helper()
	text, err := os.ReadFile(aimockFixtures)
	require.NoError(t, err)
	response := gjson.GetBytes(text, fmt.Sprintf("fixtures.#(match.userMessage==%q).response", prompt))
	require.True(t, response.Exists(), prompt)
	return response
}

func TestAimock(t *testing.T) {
	t.Parallel()
	mock := startAimock(t)
	_, api := start(t, "--upstream-url="+mock+"/v1", "--upstream-key=sk-test")
	t.Run("answers", func(t *testing.T) { t.Parallel(); testAnswers(t, api, mock) })
	t.Run("faults", func(t *testing.T) { t.Parallel(); testFaults(t, api) })
}

func testAnswers(t *testing.T, api *client.Client, mock string) {
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		want := fixture(t, "hello").Get("content").String()
		events, job := ask(t, api, "hello")
		require.Equal(t, completion.Completed, job.State, "%v", job.Error)
		require.Equal(t, want, stored(job, "content").String())
		require.Equal(t, want, streamed(events, "content"), "I4")
		require.Equal(t, "stop", job.FinishReason)
		require.Positive(t, gjson.GetBytes(job.Usage, "total_tokens").Int(), "usage was asked for and stored")
		require.JSONEq(t, wholeRequest(request("gpt-5", "hello")), received(t, mock, "hello"), "nothing lost, nothing else added")
	})
	t.Run("reasoning", func(t *testing.T) {
		t.Parallel()
		want := fixture(t, "thinking")
		events, job := ask(t, api, "thinking")
		require.Equal(t, want.Get("content").String(), stored(job, "content").String())
		require.Equal(t, want.Get("reasoning").String(), stored(job, "reasoning_content").String())
		require.Equal(t, want.Get("reasoning").String(), streamed(events, "reasoning_content"), "I4")
	})
	t.Run("tool calls", func(t *testing.T) {
		t.Parallel()
		want := fixture(t, "weather").Get("toolCalls").Array()
		_, job := ask(t, api, "weather")
		calls := stored(job, "tool_calls").Array()
		require.Len(t, calls, len(want))
		for i, call := range calls {
			require.Equal(t, want[i].Get("name").String(), call.Get("function.name").String())
			require.JSONEq(t, want[i].Get("arguments").Raw, call.Get("function.arguments").String())
			require.NotEmpty(t, call.Get("id").String())
			require.Equal(t, "function", call.Get("type").String())
		}
		require.Equal(t, "tool_calls", job.FinishReason)
	})
	t.Run("length and usage", func(t *testing.T) {
		t.Parallel()
		_, job := ask(t, api, "too long")
		require.Equal(t, "length", job.FinishReason)
		require.JSONEq(t, fixture(t, "too long").Get("usage").Raw, string(job.Usage))
	})
	t.Run("second try", func(t *testing.T) {
		t.Parallel()
		events, job := ask(t, api, "second try")
		require.Equal(t, completion.Completed, job.State, "%v", job.Error)
		require.Equal(t, 2, job.Attempt)
		require.Equal(t, "At last.", stored(job, "content").String())
		require.Equal(t, "At last.", streamed(events, "content"), "I4")
	})
}

// wholeRequest is what the upstream must receive for a request.
func wholeRequest(request string) string {
	return strings.TrimSuffix(request, "}") + `,"stream":true,"stream_options":{"include_usage":true}}`
}

// received is the body that aimock got for a prompt.
func received(t *testing.T, mock, prompt string) string {
	t.Helper()
	resp, err := http.Get(mock + "/__aimock/journal")
	require.NoError(t, err)
	defer resp.Body.Close()
	journal, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, entry := range gjson.ParseBytes(journal).Array() {
		var body map[string]json.RawMessage
		if raw := entry.Get("body"); raw.Get("messages.0.content").String() == prompt {
			require.NoError(t, json.Unmarshal([]byte(raw.Raw), &body))
			maps.DeleteFunc(body, func(name string, _ json.RawMessage) bool { return name[0] == '_' }) // aimock's own notes
			text, err := json.Marshal(body)
			require.NoError(t, err)
			return string(text)
		}
	}
	require.Fail(t, "the upstream was not asked", prompt)
	return ""
}

func testFaults(t *testing.T, api *client.Client) {
	for prompt, want := range map[string]struct {
		code     completion.Code
		status   int
		attempts int
		message  string // empty: the table's
	}{
		"limited": {completion.CodeRateLimited, 429, 2, ""},
		"used up": {completion.CodeQuota, 429, 1, ""},
		"broken":  {completion.CodeUpstream, 500, 2, ""},
		"refused": {completion.CodeUpstreamRejected, 400, 1, "No such parameter"},
		"cut off": {completion.CodeCut, 0, 2, ""},
		"unheard": {completion.CodeUpstream, 503, 2, ""}, // no fixture; aimock is strict
	} {
		t.Run(prompt, func(t *testing.T) {
			t.Parallel()
			events, job := ask(t, api, prompt)
			require.Equal(t, completion.Failed, job.State)
			require.Equal(t, want.code, job.Error.Code)
			require.Equal(t, want.status, job.Error.UpstreamStatus)
			require.Equal(t, want.attempts, job.Attempt)
			require.NotContains(t, job.Error.Message, "127.0.0.1", "no address of the upstream reaches a client")
			if want.message != "" {
				require.Equal(t, want.message, job.Error.Message)
			}
			last := events[len(events)-1]
			require.Equal(t, completion.EventFailed, last.Type)
			require.Equal(t, want.code, last.Error.Code)
			require.Equal(t, streamed(events, "content"), gjson.GetBytes(last.Partial, "choices.0.message.content").String())
		})
	}
	t.Run("retry after", func(t *testing.T) {
		t.Parallel()
		events, _ := ask(t, api, "limited")
		for _, e := range events {
			if e.Type == completion.EventRetrying {
				require.GreaterOrEqual(t, e.RetryAt.Sub(e.At), 900*time.Millisecond, "the upstream asked for a second; the back-off is 10 ms")
				return
			}
		}
		require.Fail(t, "no retry")
	})
}

// startMockAPI runs openai-mock-api, which cannot choose a free port itself.
func startMockAPI(t *testing.T) string {
	t.Helper()
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := l.Addr().String()
		require.NoError(t, l.Close())
		_, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		out := node(t, modules+"/openai-mock-api/dist/cli.js", "--config", "testdata/mock-api.yaml", "--port", port)
		if said(out, `server started on port (\d+)`) == port {
			return "http://" + address
		}
	}
	require.Fail(t, "openai-mock-api does not listen")
	return ""
}

func TestMockAPI(t *testing.T) {
	t.Parallel()
	const prompt, want = "Hello, how are you?", "Hello! I'm doing well, thank you for asking."
	mock := startMockAPI(t)
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		_, api := start(t, "--upstream-url="+mock+"/v1", "--upstream-key=test-key")
		events, job := ask(t, api, prompt)
		require.Equal(t, completion.Completed, job.State, "%v", job.Error)
		require.Equal(t, want, stored(job, "content").String())
		require.Equal(t, want, streamed(events, "content"), "I4")
		require.JSONEq(t, "null", string(job.Usage), "it sends none when it streams")
	})
	t.Run("wrong key", func(t *testing.T) {
		t.Parallel()
		_, api := start(t, "--upstream-url="+mock+"/v1", "--upstream-key=wrong-key-of-ours")
		_, job := ask(t, api, prompt)
		require.Equal(t, completion.Failed, job.State)
		require.Equal(t, completion.CodeUpstreamRejected, job.Error.Code)
		require.Equal(t, 1, job.Attempt)
		require.NotContains(t, job.Error.Message, "wrong-key-of-ours")
	})
}
