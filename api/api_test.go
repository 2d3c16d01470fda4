package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/api"
	"sluice/api/internal/blob"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

var update = flag.Bool("update", false, "write golden files anew")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// server is an API over embedded servers, without a worker.
type server struct {
	url  string
	key  string // of the tenant acme, with all scopes
	back *backend.Backend
	nats *embedded.NATS
	stop func()

	metrics prometheus.Collector
}

func setup(t *testing.T, change ...func(*api.Config)) *server {
	t.Helper()
	back, n := testkit.Backend(t)
	return setupOn(t, back, n, change...)
}

func setupOn(t *testing.T, back *backend.Backend, n *embedded.NATS, change ...func(*api.Config)) *server {
	t.Helper()
	signing, err := json.Marshal(n.Authority().Signing)
	require.NoError(t, err)
	c := api.Config{
		HTTPAddr: "127.0.0.1:0", Auth: "on", Tenant: "local", PublicNATSURL: n.ClientURL(), PublicWebSocketURL: n.WebSocketURL(),
		SigningKeys: filepath.Join(t.TempDir(), "signing.json"), CredentialTTL: time.Minute,
		Files:              blob.Config{Dir: filepath.Join(t.TempDir(), "files")},
		InteractiveTimeout: time.Hour, BatchTimeout: 24 * time.Hour, Heartbeat: 20 * time.Millisecond, ClientLimit: 5 * time.Second, StopLimit: 20 * time.Second,
	}
	require.NoError(t, os.WriteFile(c.SigningKeys, signing, 0o600))
	for _, f := range change {
		f(&c)
	}
	require.NoError(t, c.Validate())
	a, err := api.New(c, back, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	s := &server{url: a.URL(), back: back, nats: n, stop: stop, metrics: a.Collector()}
	s.key = s.newKey(t, "acme", completion.Scopes...)
	return s
}

// newKey makes an API key.
func (s *server) newKey(t *testing.T, tenant string, scopes ...completion.Scope) (secret string) {
	t.Helper()
	k, secret := completion.NewKey(tenant, scopes, time.Now())
	require.NoError(t, s.back.Store.AddKey(t.Context(), k))
	return secret
}

const chat = `{"request":{"model":"m","messages":[{"role":"user","content":"hi"}]}}`

func (s *server) do(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

func (s *server) submit(t *testing.T) completion.Ref {
	t.Helper()
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat)
	require.Equal(t, http.StatusAccepted, resp.StatusCode, body)
	return completion.Ref{Tenant: "acme", Job: gjson.Get(body, "id").String()}
}

// say appends events to the job's log, as a worker would.
func (s *server) say(t *testing.T, ref completion.Ref, types ...completion.EventType) {
	t.Helper()
	tail, err := s.back.Log.Open(t.Context(), ref)
	require.NoError(t, err)
	for _, typ := range types {
		require.NoError(t, tail.Append(t.Context(), completion.Event{Type: typ, Attempt: 1, At: time.Now()}))
	}
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	s := setup(t)
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", `{"request":{"model":"m","messages":[{"role":"user","content":"hi"}],"x":1},"lane":"batch","metadata":{"k":"v"}}`)
	require.Equal(t, http.StatusAccepted, resp.StatusCode, body)
	job := gjson.Parse(body)
	id := job.Get("id").String()
	require.Equal(t, "/v1/jobs/"+id, resp.Header.Get("Location"))
	require.NotEmpty(t, resp.Header.Get("X-Request-Id"))
	for path, want := range map[string]string{
		"object": "job", "state": "queued", "lane": "batch", "model": "m", "metadata.k": "v", "attempt": "0",
		"subject": "completions.acme." + id, "events_url": "/v1/jobs/" + id + "/events", "result": "", "error": "", "started_at": "",
	} {
		require.Equal(t, want, job.Get(path).String(), path)
	}
	require.True(t, strings.HasPrefix(job.Get("stream.nats_url").String(), "nats://127.0.0.1:"))
	require.True(t, strings.HasPrefix(job.Get("stream.websocket_url").String(), "ws://127.0.0.1:"))

	stored, err := s.back.Store.Get(t.Context(), completion.Ref{Tenant: "acme", Job: id})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],"x":1}`, string(stored.Request))
	require.ErrorIs(t, s.back.Queue.Enqueue(t.Context(), stored.Task()), completion.ErrKnown, "the queue has it")

	_, again := s.do(t, http.MethodGet, "/v1/jobs/"+id, "")
	require.False(t, gjson.Get(again, "stream.credential").Exists(), "it comes with an accepted job, or when asked for")
	var submitted, read map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &submitted))
	require.NoError(t, json.Unmarshal([]byte(again), &read))
	delete(submitted, "stream")
	delete(read, "stream")
	require.Equal(t, submitted, read)
}

func TestSubmit_I7_Key(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, body := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
	require.Equal(t, http.StatusAccepted, first.StatusCode)
	require.Empty(t, first.Header.Get("Idempotent-Replayed"))
	second, again := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
	require.Equal(t, http.StatusAccepted, second.StatusCode)
	require.Equal(t, "true", second.Header.Get("Idempotent-Replayed"))
	require.Equal(t, gjson.Get(body, "id").Str, gjson.Get(again, "id").Str)
	require.Equal(t, gjson.Get(body, "created_at").Str, gjson.Get(again, "created_at").Str)
	other, problem := s.do(t, http.MethodPost, "/v1/jobs", strings.Replace(chat, "hi", "ho", 1), "Idempotency-Key", "k")
	require.Equal(t, http.StatusConflict, other.StatusCode)
	require.Equal(t, "false", other.Header.Get("X-Should-Retry"))
	require.Equal(t, "idempotency_key_conflict", gjson.Get(problem, "error.code").String())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := setup(t)
	big := `{"request":{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", 10<<20) + `"}]}}`
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		code, param        string
	}{
		"malformed":      {"POST", "/v1/jobs", `{"request":`, nil, 400, "invalid_json", ""},
		"empty":          {"POST", "/v1/jobs", ``, nil, 400, "invalid_request", ""},
		"lane":           {"POST", "/v1/jobs", `{"lane":"x"}`, nil, 400, "invalid_request", "lane"},
		"messages":       {"POST", "/v1/jobs", `{"request":{"model":"m","messages":[]}}`, nil, 400, "invalid_request", "request.messages"},
		"too large":      {"POST", "/v1/jobs", big, nil, 413, "request_too_large", ""},
		"form":           {"POST", "/v1/jobs", `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", ""},
		"key":            {"POST", "/v1/jobs", chat, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "invalid_request", "Idempotency-Key"},
		"unknown job":    {"GET", "/v1/jobs/job_0", "", nil, 404, "not_found", ""},
		"impossible job": {"GET", "/v1/jobs/%2e%2e", "", nil, 404, "not_found", ""},
		"cancel unknown": {"POST", "/v1/jobs/job_0/cancel", "", nil, 404, "not_found", ""},
		"follow unknown": {"GET", "/v1/jobs/job_0/events", "", nil, 404, "not_found", ""},
		"after":          {"GET", "/v1/jobs/job_0/events?after=x", "", nil, 400, "invalid_request", "after"},
		"last event id":  {"GET", "/v1/jobs/job_0/events", "", []string{"Last-Event-ID", "-1"}, 400, "invalid_request", "Last-Event-ID"},
		"state":          {"GET", "/v1/jobs?state=done", "", nil, 400, "invalid_request", "state"},
		"limit":          {"GET", "/v1/jobs?limit=0", "", nil, 400, "invalid_request", "limit"},
		"limit text":     {"GET", "/v1/jobs?limit=x", "", nil, 400, "invalid_request", "limit"},
		"cursor":         {"GET", "/v1/jobs?after=A*", "", nil, 400, "invalid_request", "after"},
		"batch":          {"GET", "/v1/jobs?batch=job_0", "", nil, 400, "invalid_request", "batch"},
		"batch token":    {"GET", "/v1/jobs?batch=batch_*", "", nil, 400, "invalid_request", "batch"},
		"time":           {"GET", "/v1/jobs?created_after=yesterday", "", nil, 400, "invalid_request", "created_after"},
		"unknown route":  {"GET", "/v2/jobs", "", nil, 404, "not_found", ""},
		"unknown method": {"DELETE", "/v1/jobs", "", nil, 405, "method_not_allowed", ""},
		"cancel by GET":  {"GET", "/v1/jobs/job_0/cancel", "", nil, 405, "method_not_allowed", ""},
		"health by POST": {"POST", "/healthz", "", nil, 405, "method_not_allowed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, body := s.do(t, c.method, c.path, c.body, c.header...)
			require.Equal(t, c.status, resp.StatusCode, body)
			require.Equal(t, "application/json", resp.Header.Get("Content-Type"))
			require.NotEmpty(t, resp.Header.Get("X-Request-Id"))
			var envelope struct {
				Error map[string]any `json:"error"`
			}
			require.NoError(t, json.Unmarshal([]byte(body), &envelope))
			require.Len(t, envelope.Error, 4, "message, type, param and code are always there: %s", body)
			require.Equal(t, c.code, envelope.Error["code"])
			if c.param == "" {
				require.Nil(t, envelope.Error["param"])
			} else {
				require.Equal(t, c.param, envelope.Error["param"])
			}
			if c.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, resp.Header.Get("Allow"))
			}
		})
	}
	t.Cleanup(func() {
		jobs, _, err := s.back.Store.List(context.Background(), "acme", store.Query{})
		require.NoError(t, err)
		require.Empty(t, jobs, "nothing was accepted")
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var ids []string
	for range 5 {
		ids = append([]string{s.submit(t).Job}, ids...)
	}
	seen := map[string]bool{}
	after := ""
	for {
		_, body := s.do(t, http.MethodGet, "/v1/jobs?limit=2&state=queued&after="+after, "")
		for _, j := range gjson.Get(body, "data").Array() {
			require.False(t, seen[j.Get("id").String()], "once")
			seen[j.Get("id").String()] = true
		}
		after = gjson.Get(body, "last_id").String()
		if !gjson.Get(body, "has_more").Bool() {
			break
		}
	}
	require.Len(t, seen, len(ids))
	_, body := s.do(t, http.MethodGet, "/v1/jobs?state=failed", "")
	require.JSONEq(t, `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}`, body)
}

// Lines of a batch are jobs that are listed by their batch only.
func TestList_I8_Batch(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const row = `{"custom_id":%q,"method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"hi"}]}}` + "\n"
	file := s.upload(t, "batch", "in.jsonl", fmt.Sprintf(row+row, "a", "b")).ID
	resp, body := s.do(t, http.MethodPost, "/v1/batches", `{"input_file_id":"`+file+`","endpoint":"/v1/chat/completions","completion_window":"1h"}`)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	batch := gjson.Get(body, "id").Str
	lines := func(query string, header ...string) []gjson.Result {
		resp, body := s.do(t, http.MethodGet, "/v1/jobs?batch="+batch+query, "", header...)
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
		return gjson.Get(body, "data").Array()
	}
	require.Eventually(t, func() bool { return len(lines("")) == 2 }, 10*time.Second, 10*time.Millisecond)
	for i, line := range lines("&order=asc") {
		_, one := s.do(t, http.MethodGet, "/v1/jobs/"+line.Get("id").Str, "")
		for _, job := range []gjson.Result{line, gjson.Parse(one)} {
			require.Equal(t, batch, job.Get("batch").Str)
			require.EqualValues(t, i+1, job.Get("line").Int())
			require.Equal(t, []string{"a", "b"}[i], job.Get("custom_id").Str)
		}
	}
	page := lines("&limit=1")
	require.Len(t, page, 1)
	require.Equal(t, "b", page[0].Get("custom_id").Str, "the last one first")
	require.Equal(t, "a", lines("&after=" + page[0].Get("id").Str)[0].Get("custom_id").Str)
	require.Empty(t, lines("&state=failed"))
	require.Empty(t, lines("", "Authorization", "Bearer "+s.newKey(t, "other", completion.Scopes...)))
	require.Empty(t, lines("0"), "no such batch")

	job := s.submit(t)
	_, body = s.do(t, http.MethodGet, "/v1/jobs", "")
	require.JSONEq(t, `["`+job.Job+`"]`, gjson.Get(body, "data.#.id").Raw)
	for _, name := range []string{"batch", "line", "custom_id"} {
		require.False(t, gjson.Get(body, "data.0."+name).Exists(), name)
	}
}

func TestCancel_I9_Queued(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	resp, body := s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "cancelled", gjson.Get(body, "state").String())
	_, again := s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "")
	require.JSONEq(t, body, again)
	_, events := s.do(t, http.MethodGet, "/v1/jobs/"+ref.Job+"/events", "")
	require.Contains(t, events, "event: cancelled\n")
}

func TestCancel_I9_Running(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	require.NoError(t, s.back.Store.Beat(t.Context(), "w", nil, time.Now()))
	_, err := s.back.Store.Claim(t.Context(), ref, "w", time.Now())
	require.NoError(t, err)
	rung := make(chan completion.Ref, 1)
	stop, err := s.back.Bell.OnCancel(func(r completion.Ref) { rung <- r })
	require.NoError(t, err)
	defer stop()
	_, body := s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "")
	require.Equal(t, "running", gjson.Get(body, "state").String())
	require.True(t, gjson.Get(body, "cancel_requested").Bool())
	require.Equal(t, ref, <-rung)
}

func TestEvents_I3(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	s.say(t, ref, completion.EventStarted, completion.EventDelta)
	resp := s.open(t, ref.Job, "Last-Event-ID", "1")
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	lines := bufio.NewReader(resp.Body)
	require.Equal(t, "id: 2", field(t, lines, "id"))
	beat := field(t, lines, ":")
	require.Equal(t, ": keep-alive", beat)
	s.say(t, ref, completion.EventDelta, completion.EventCompleted)
	require.Equal(t, "id: 3", field(t, lines, "id"))
	require.Equal(t, "event: completed", field(t, lines, "event: completed"))
	rest, err := io.ReadAll(lines)
	require.NoError(t, err, "the stream ends after the final event")
	require.Equal(t, 1, bytes.Count(rest, []byte("data: ")))

	again, body := s.do(t, http.MethodGet, "/v1/jobs/"+ref.Job+"/events?after=2", "")
	require.Equal(t, http.StatusOK, again.StatusCode)
	require.Equal(t, 2, strings.Count(body, "id: "))
}

// open follows a job and leaves the stream open.
func (s *server) open(t *testing.T, id string, header ...string) *http.Response {
	t.Helper()
	resp, err := s.events(id, header...)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return resp
}

// opens reports whether an event stream can be opened now.
func (s *server) opens(id string) bool {
	resp, err := s.events(id)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // the answer's header says it
	return resp.StatusCode == http.StatusOK
}

func (s *server) events(id string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+"/v1/jobs/"+id+"/events", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return http.DefaultClient.Do(req)
}

// field reads up to the next line that begins with prefix.
func field(t *testing.T, r *bufio.Reader, prefix string) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
}

func TestEvents_AfterTheFinalOne(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	_, _ = s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "")
	resp, body := s.do(t, http.MethodGet, "/v1/jobs/"+ref.Job+"/events?after=1", "")
	require.Equal(t, http.StatusNoContent, resp.StatusCode, "which tells an EventSource to stay away")
	require.Empty(t, body)
}

func TestEvents_ServerStops(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	s.say(t, ref, completion.EventStarted)
	resp := s.open(t, ref.Job)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	require.Equal(t, "id: 1", field(t, lines, "id"))
	s.stop()
	require.Equal(t, "event: reconnect", field(t, lines, "event: reconnect"))
	require.Equal(t, `data: {"after":1}`, field(t, lines, "data"))
	_, err := io.ReadAll(lines)
	require.NoError(t, err, "the stream ends properly")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		resp, body := s.do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.JSONEq(t, `{"status":"ok"}`, body)
	}
	resp, _ := s.do(t, http.MethodGet, "/healthz", "", "X-Request-Id", "mine-1")
	require.Equal(t, "mine-1", resp.Header.Get("X-Request-Id"))
	resp, _ = s.do(t, http.MethodGet, "/healthz", "", "X-Request-Id", strings.Repeat("x", 200))
	require.NotContains(t, resp.Header.Get("X-Request-Id"), "xxx")
}

func TestDocs(t *testing.T) {
	t.Parallel()
	s := setup(t)
	resp, page := s.do(t, http.MethodGet, "/docs", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	for _, route := range []string{"/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/cancel", "/v1/jobs/{id}/events"} {
		require.Contains(t, page, "<code>"+route+"</code>")
	}
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, "https://")

	_, doc := s.do(t, http.MethodGet, "/openapi.json", "")
	require.Equal(t, "3.1.0", gjson.Get(doc, "openapi").String())
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, []byte(doc), "", "  "))
	golden(t, "openapi.json", pretty.Bytes())
}

// TestPage needs no key, and what is beside it stays an error that programs understand.
func TestPage(t *testing.T) {
	t.Parallel()
	s := setup(t)
	resp, page := s.do(t, http.MethodGet, "/", "", "Authorization", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, page, "<title>Sluice</title>")
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'self'")
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-referrer", resp.Header.Get("Referrer-Policy"))
	for _, path := range []string{"/assets/none.js", "/index.html", "/page"} {
		resp, body := s.do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
		require.Equal(t, "not_found", gjson.Get(body, "error.code").Str)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o750))
		require.NoError(t, os.WriteFile(path, append(bytes.TrimSpace(got), '\n'), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run make generate")
	require.Equal(t, strings.TrimSpace(string(want)), strings.TrimSpace(string(got)), "run make generate")
}

func TestNew_PortInUse(t *testing.T) {
	t.Parallel()
	s := setup(t)
	addr := strings.TrimPrefix(s.url, "http://")
	_, err := api.New(api.Config{HTTPAddr: addr, Tenant: "t", Files: blob.Config{Dir: t.TempDir()}}, s.back, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, addr)
	require.ErrorContains(t, err, "SLUICE_HTTP_ADDR")
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	err := api.Config{Tenant: "A b"}.Validate()
	for _, want := range []string{"tenant", "heartbeat", "client limit", "stop limit"} {
		require.ErrorContains(t, err, want, "all faults at once")
	}
}
