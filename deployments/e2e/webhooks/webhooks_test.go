// Package webhooks_test has webhooks received by software that nobody of Sluice wrote: the official OpenAI SDK for Node.js,
// which checks them with webhooks.unwrap.
package webhooks_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/deployments/internal/npm"
	"sluice/deployments/standalone"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite installs the packages before its tests.
type suite struct{ *testing.M }

// modules is the node_modules folder with the installed packages.
var modules string

func (s suite) Run() int {
	flag.Parse()
	var err error
	if modules, err = npm.Install(context.Background(), "."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer http.DefaultClient.CloseIdleConnections()
	return s.M.Run()
}

// installation is a running all-in-one.
type installation struct {
	*client.Client
	dir string
}

func start(t *testing.T) installation {
	t.Helper()
	dir := t.TempDir()
	var c standalone.Config
	parser, err := kong.New(&c)
	require.NoError(t, err)
	_, err = parser.Parse([]string{
		"--http-addr=127.0.0.1:0", "--nats-addr=127.0.0.1:0", "--websocket-addr=127.0.0.1:0", "--data-dir=" + dir, "--webhook-private=allow",
	})
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
	return installation{api.WithKey(s.Key()), dir}
}

// receive runs a receiver and returns its address and what it prints.
func receive(t *testing.T, script []byte, secret string) (url string, lines *bufio.Scanner) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "receiver.mjs"), script, 0o600))
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "receiver.mjs"))
	cmd.Env, cmd.Stderr = append(os.Environ(), "OPENAI_WEBHOOK_SECRET="+secret), t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // says that it was killed
	})
	lines = bufio.NewScanner(io.TeeReader(out, t.Output()))
	require.True(t, lines.Scan())
	port, ok := strings.CutPrefix(lines.Text(), "listening ")
	require.True(t, ok, lines.Text())
	return "http://127.0.0.1:" + port, lines
}

// events reads what the receiver made of that many webhooks, by their type.
func events(t *testing.T, lines *bufio.Scanner, n int) map[string]gjson.Result {
	t.Helper()
	all := map[string]gjson.Result{}
	for len(all) < n && lines.Scan() {
		line := gjson.Parse(lines.Text())
		require.Empty(t, line.Get("error").Str)
		for _, attack := range []string{"altered", "replayed", "foreign"} {
			require.Equal(t, "InvalidWebhookSignatureError", line.Get(attack).Str, attack)
		}
		require.Equal(t, "event", line.Get("event.object").Str)
		all[line.Get("event.type").Str] = line.Get("event")
	}
	require.Len(t, all, n)
	return all
}

func TestUnwrap(t *testing.T) {
	t.Parallel()
	i := start(t)
	hook, err := i.CreateWebhook(t.Context(), client.WebhookCreation{URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	script, err := os.ReadFile(filepath.Join("testdata", "receiver.mjs"))
	require.NoError(t, err)
	url, lines := receive(t, script, hook.Secret)
	hook, err = i.ChangeWebhook(t.Context(), hook.ID, client.WebhookChange{URL: &url})
	require.NoError(t, err)

	test, err := i.TestWebhook(t.Context(), hook.ID)
	require.NoError(t, err)
	event := events(t, lines, 1)["webhook.test"]
	require.JSONEq(t, string(test.Event), event.Raw)

	job, err := i.Submit(t.Context(), client.Submission{Request: []byte(`{"model":"sim","messages":[{"role":"user","content":"hello"}]}`)})
	require.NoError(t, err)
	event = events(t, lines, 1)["job.completed"]
	require.Equal(t, job.ID, event.Get("data.id").Str)
	require.Equal(t, job.Subject, event.Get("data.subject").Str)
	require.InDelta(t, time.Now().Unix(), event.Get("created_at").Int(), 60)

	response := i.response(t)
	_, err = i.Cancel(t.Context(), response)
	require.NoError(t, err)
	both := events(t, lines, 2)
	require.Equal(t, response, both["job.cancelled"].Get("data.id").Str)
	require.Equal(t, completion.Alias("resp_", response), both["response.cancelled"].Get("data.id").Str)

	_, err = i.RotateWebhook(t.Context(), hook.ID)
	require.NoError(t, err)
	_, err = i.TestWebhook(t.Context(), hook.ID)
	require.NoError(t, err)
	require.Contains(t, events(t, lines, 1), "webhook.test", "the receiver has not changed its secret yet")
}

// The receiver of docs/webhooks.md does what the page says.
func TestPage_ReceiverRuns(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "webhooks.md"))
	require.NoError(t, err)
	script := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(page)
	require.NotNil(t, script)
	require.Contains(t, string(script[1]), ".listen(3000)")
	here := strings.Replace(string(script[1]), ".listen(3000)", `.listen(0, "127.0.0.1", function () { console.log("listening " + this.address().port); })`, 1)
	i := start(t)
	hook, err := i.CreateWebhook(t.Context(), client.WebhookCreation{URL: "http://127.0.0.1:1"})
	require.NoError(t, err)
	url, lines := receive(t, []byte(here), hook.Secret)
	_, err = i.ChangeWebhook(t.Context(), hook.ID, client.WebhookChange{URL: &url})
	require.NoError(t, err)
	_, err = i.TestWebhook(t.Context(), hook.ID)
	require.NoError(t, err)
	require.True(t, lines.Scan())
	require.Equal(t, "webhook.test "+hook.ID, lines.Text())
}

// response stores a job of /v1/responses that no worker takes.
func (i installation) response(t *testing.T) (id string) {
	t.Helper()
	db, err := embedded.OpenSQLite(filepath.Join(i.dir, "sluice.db"))
	require.NoError(t, err)
	now := time.Now()
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: "local", Lane: completion.LaneInteractive, State: completion.Queued, Model: "sim", Endpoint: completion.EndpointResponses,
		Request: []byte(`{"model":"sim","input":"hello"}`), RetryAt: now.Add(time.Hour), CreatedAt: now, UpdatedAt: now,
	}
	_, _, err = store.New(db, store.Options{}).Add(t.Context(), &job)
	require.NoError(t, errors.Join(err, db.Close()))
	return job.ID
}
