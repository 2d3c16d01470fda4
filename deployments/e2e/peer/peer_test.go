// Package peer_test runs Sluice against software that nobody of Sluice wrote: two servers that mock the OpenAI API, from
// the npm registry, as upstreams, and the official NATS client for WebSocket as a viewer.
package peer_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/deployments/internal/npm"
	"sluice/deployments/standalone"
	"sluice/shared/client"
	"sluice/shared/completion"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite installs the packages before its tests.
type suite struct{ *testing.M }

// sideBySide is how many tests run at once: they wait for processes more than they compute.
const sideBySide = "8"

func (s suite) Run() int {
	flag.Parse()
	dir, err := npm.Install(context.Background(), ".")
	err = errors.Join(err, flag.Set("test.parallel", sideBySide))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	modules = dir
	defer http.DefaultClient.CloseIdleConnections()
	return s.M.Run()
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
	return s, api.WithKey(s.Key())
}

// request is a chat completion body with parameters that nobody knows.
func request(model, text string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"x_unknown":{"deep":[1.5,null]},"seed":7}`, model, text)
}

func submit(t *testing.T, api *client.Client, request string) client.Job {
	t.Helper()
	job, err := api.Submit(t.Context(), client.Submission{Request: json.RawMessage(request)})
	require.NoError(t, err)
	return job
}

// follow reads a job's event stream to its end.
func follow(ctx context.Context, api *client.Client, id string) ([]completion.Event, error) {
	var events []completion.Event
	for e, err := range api.Follow(ctx, id, 0) {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}

// ask submits a prompt and returns the streamed events and the stored job.
func ask(t *testing.T, api *client.Client, text string) ([]completion.Event, client.Job) {
	t.Helper()
	job := submit(t, api, request("gpt-5", text))
	events, err := follow(t.Context(), api, job.ID)
	require.NoError(t, err)
	job, err = api.Get(t.Context(), job.ID)
	require.NoError(t, err)
	return events, job
}

// streamed puts together a text field of the deltas of the last attempt.
func streamed(events []completion.Event, field string) string {
	var b strings.Builder
	for _, e := range events {
		if e.Type == completion.EventStarted {
			b.Reset()
		}
		for _, c := range e.Chunks {
			b.WriteString(gjson.GetBytes(c, "choices.0.delta."+field).String())
		}
	}
	return b.String()
}

// stored is a field of the stored message.
func stored(job client.Job, field string) gjson.Result {
	return gjson.GetBytes(job.Result, "choices.0.message."+field)
}
