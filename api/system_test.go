package api_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/telemetry"
	"sluice/shared/testkit"
)

// status is that of a worker with four interactive slots, of which some run.
func status(running int) *completion.WorkerStatus {
	var first completion.Spread
	first.Add(200 * time.Millisecond)
	return &completion.WorkerStatus{
		Host: "a", Version: "v1", StartedAt: time.Now(),
		Lanes: []completion.LaneStatus{{
			Lane: completion.LaneInteractive, Slots: 4, Running: running,
			Minute: completion.Yield{Completed: 3, OutputTokens: 120, FirstDelta: first}, Quarter: completion.Yield{Completed: 30},
		}},
		Upstreams: []completion.UpstreamStatus{{
			Name: "main", State: completion.UpstreamOK, Running: running, Calls: 5, Errors: map[completion.Code]int64{completion.CodeCut: 2},
		}},
	}
}

// The installation is seen whole: what waits in Redis, what the workers say, what was accepted.
func TestSystem(t *testing.T) {
	t.Parallel()
	back, n := testkit.RealBackend(t)
	s := setupOn(t, back, n)
	get := func() gjson.Result {
		t.Helper()
		resp, body := s.do(t, http.MethodGet, "/v1/system", "")
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
		return gjson.Parse(body)
	}
	empty := get()
	require.Equal(t, "system", empty.Get("object").Str)
	require.Equal(t, telemetry.Version, empty.Get("version").Str)
	require.Equal(t, `["interactive","batch"]`, empty.Get("lanes.#.lane").Raw)
	require.Equal(t, "[]", empty.Get("workers").Raw)
	require.Equal(t, "[]", empty.Get("upstreams").Raw)
	require.Equal(t, "null", empty.Get("lanes.0.queue.oldest_waiting_seconds").Raw)

	require.NoError(t, back.Store.Beat(t.Context(), "w1", status(1), time.Now()))
	require.NoError(t, back.Store.Beat(t.Context(), "w2", status(2), time.Now()))
	draining := status(1)
	draining.Draining = true
	require.NoError(t, back.Store.Beat(t.Context(), "w3", draining, time.Now()))
	require.NoError(t, back.Store.Beat(t.Context(), "old", nil, time.Now()))
	require.NoError(t, back.Store.Beat(t.Context(), "dead", status(3), time.Now().Add(-time.Minute)))
	for range 3 {
		s.submit(t)
	}
	file := s.upload(t, "batch", "in.jsonl", `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"hi"}]}}`).ID
	resp, body := s.do(t, http.MethodPost, "/v1/batches", `{"input_file_id":"`+file+`","endpoint":"/v1/chat/completions","completion_window":"1h"}`)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	var seen gjson.Result
	require.Eventually(t, func() bool {
		seen = get()
		return seen.Get("rates.last_minute.accepted").Int() == 4
	}, 30*time.Second, 20*time.Millisecond)
	for path, want := range map[string]string{
		"queue_ready": "true", "lanes.0.slots": "8", "lanes.0.running": "4", "lanes.0.queue.waiting": "3", "lanes.0.queue.active": "0",
		"lanes.0.rates.last_minute.accepted": "3", "lanes.1.rates.last_minute.accepted": "1", "rates.last_15_minutes.accepted": "4",
		"lanes.1.slots": "0", "lanes.1.queue.waiting": "1", "lanes.0.rates.last_minute.completed": "9", "rates.last_15_minutes.completed": "90",
		"rates.last_minute.output_tokens": "360", "rates.last_minute.output_tokens_per_second": "6", "rates.last_minute.first_delta.count": "3",
		"upstreams.0.name": "main", "upstreams.0.workers": "3", "upstreams.0.calls": "15", "upstreams.0.errors.upstream_cut": "6",
		"upstreams.0.state": "ok", "workers.#": "5", `workers.#(id=="w3").draining`: "true", `workers.#(id=="dead").alive`: "false",
		`workers.#(id=="old").lanes.#`: "0", `workers.#(id=="old").started_at`: "", `workers.#(id=="w2").lanes.0.running`: "2",
	} {
		require.Equal(t, want, seen.Get(path).String(), path)
	}
	require.InDelta(t, 0.2, seen.Get("rates.last_minute.first_delta.p95_seconds").Num, 0.02)
	require.Positive(t, seen.Get("lanes.0.queue.oldest_waiting_seconds").Num)
}

// setupMortal starts an API over a Redis of its own, which may die.
func setupMortal(t *testing.T) (*server, *testkit.RedisServer) {
	t.Helper()
	redisServer, n := testkit.StartRedis(t), testkit.NATS(t)
	nc, err := n.Connect()
	require.NoError(t, err)
	back, err := backend.New(backend.Servers{Database: testkit.SQLite(t), NATS: nc, Redis: func(int) (redis.UniversalClient, error) {
		return queue.Open(redisServer.URL(), 16)
	}}, backend.Settings{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, back.Close()) })
	require.NoError(t, back.Log.Setup(t.Context()))
	return setupOn(t, back, n), redisServer
}

// While Redis is away the rest is shown.
func TestSystem_RedisIsAway(t *testing.T) {
	t.Parallel()
	s, redisServer := setupMortal(t)
	require.NoError(t, s.back.Store.Beat(t.Context(), "w1", status(1), time.Now()))
	_, body := s.do(t, http.MethodGet, "/v1/system", "")
	require.True(t, gjson.Get(body, "queue_ready").Bool())
	redisServer.Kill(t)
	resp, body := s.do(t, http.MethodGet, "/v1/system", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.False(t, gjson.Get(body, "queue_ready").Bool())
	require.False(t, gjson.Get(body, "lanes.0.queue").Exists())
	require.Equal(t, "null", gjson.Get(body, "rates.last_minute.accepted").Raw)
	require.EqualValues(t, 3, gjson.Get(body, "rates.last_minute.completed").Int())
	require.EqualValues(t, 1, gjson.Get(body, "lanes.0.running").Int())
}

// Failures of all tenants are listed, without what a tenant alone may see, and tried again once, in their tenant's name.
func TestSystem_I8_Failures(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.NoError(t, s.back.Store.Beat(t.Context(), "w", nil, time.Now()))
	other := s.newKey(t, "other", completion.ScopeSubmit, completion.ScopeRead, completion.ScopeAdmin)
	failed := func(key, secret string, state completion.State) completion.Ref {
		t.Helper()
		resp, body := s.do(t, http.MethodPost, "/v1/jobs", `{"metadata":{"k":"`+secret+`"},"request":{"model":"m","messages":[{"role":"user","content":"`+secret+`"}]}}`, "Authorization", "Bearer "+key)
		require.Equal(t, http.StatusAccepted, resp.StatusCode, body)
		ref := completion.Ref{Tenant: strings.Split(gjson.Get(body, "subject").Str, ".")[1], Job: gjson.Get(body, "id").Str}
		_, err := s.back.Store.Claim(t.Context(), ref, "w", time.Now())
		require.NoError(t, err)
		failure := completion.NewError(completion.CodeUpstreamRejected, "bad word: "+secret)
		failure.UpstreamStatus, failure.UpstreamCode, failure.Param = 400, secret, secret
		_, err = s.back.Store.Finish(t.Context(), ref, 1, completion.Outcome{State: state, At: time.Now(), Error: failure, Result: []byte(`{"id":"` + secret + `"}`), Upstream: "main"})
		require.NoError(t, err)
		return ref
	}
	const secret = "what-only-the-tenant-knows"
	theirs, ours := failed(other, secret, completion.Failed), failed(s.key, secret, completion.Expired)
	cancelled, completed := failed(other, secret, completion.Cancelled), failed(other, secret, completion.Completed)

	resp, body := s.do(t, http.MethodGet, "/v1/system/failures", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.NotContains(t, body, secret)
	require.Equal(t, `["`+ours.Job+`","`+theirs.Job+`"]`, gjson.Get(body, "data.#.id").Raw, "the latest first")
	one := gjson.Get(body, "data.1")
	for path, want := range map[string]string{
		"object": "failure", "tenant": "other", "state": "failed", "lane": "interactive", "model": "m", "upstream": "main", "attempt": "1",
		"error.code": "upstream_rejected", "error.message": "The upstream refused the request.", "error.upstream_status": "400", "retry": "",
	} {
		require.Equal(t, want, one.Get(path).String(), path)
	}
	_, body = s.do(t, http.MethodGet, "/v1/system/failures?limit=1", "")
	require.Len(t, gjson.Get(body, "data").Array(), 1)

	retry := func(ref completion.Ref, header ...string) (int, gjson.Result) {
		t.Helper()
		resp, body := s.do(t, http.MethodPost, "/v1/system/failures/"+ref.Tenant+"/"+ref.Job+"/retry", "", header...)
		require.NotContains(t, body, secret)
		return resp.StatusCode, gjson.Parse(body)
	}
	code, made := retry(theirs)
	require.Equal(t, http.StatusAccepted, code, made.Raw)
	require.False(t, made.Get("replayed").Bool())
	stored, err := s.back.Store.Get(t.Context(), completion.Ref{Tenant: "other", Job: made.Get("id").Str})
	require.NoError(t, err)
	require.Equal(t, theirs.Job, stored.RetryOf)
	require.ErrorIs(t, s.back.Queue.Enqueue(t.Context(), stored.Task()), completion.ErrKnown, "the queue has it")
	_, again := retry(theirs)
	require.True(t, again.Get("replayed").Bool())
	require.Equal(t, made.Get("id").Str, again.Get("id").Str)
	_, body = s.do(t, http.MethodPost, "/v1/jobs/"+theirs.Job+"/retry", "", "Authorization", "Bearer "+other)
	require.Equal(t, made.Get("id").Str, gjson.Get(body, "id").Str, "the tenant's own retry is the same")
	_, body = s.do(t, http.MethodGet, "/v1/system/failures", "")
	require.Equal(t, made.Get("id").Str, gjson.Get(body, "data.1.retry").Str)

	for name, c := range map[string]struct {
		ref  completion.Ref
		want int
	}{
		"cancelled": {cancelled, http.StatusConflict}, "completed": {completed, http.StatusConflict}, "waiting": {stored.Ref(), http.StatusConflict},
		"unknown": {completion.Ref{Tenant: "other", Job: "job_0"}, http.StatusNotFound}, "another's": {completion.Ref{Tenant: "acme", Job: theirs.Job}, http.StatusNotFound},
		"no tenant": {completion.Ref{Tenant: "A*", Job: theirs.Job}, http.StatusNotFound},
	} {
		code, answer := retry(c.ref)
		require.Equal(t, c.want, code, "%s: %s", name, answer.Raw)
	}
	for _, path := range []string{"/v1/system", "/v1/system/failures"} {
		resp, _ := s.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+other)
		require.Equal(t, http.StatusForbidden, resp.StatusCode, "a tenant's admin does not see others")
	}
	code, _ = retry(ours, "Authorization", "Bearer "+other)
	require.Equal(t, http.StatusForbidden, code)
}

// A line of a batch is the batch's to try again, and a turn its conversation's.
func TestSystem_PartOfMore(t *testing.T) {
	t.Parallel()
	s := setup(t)
	batch := completion.Batch{ID: completion.NewBatchID(), Tenant: "acme"}
	now := time.Now()
	line := completion.Job{
		ID: batch.LineJobID(1), Tenant: "acme", Lane: completion.LaneBatch, State: completion.Queued, Model: "m", Request: []byte(`{}`),
		Batch: batch.ID, Line: 1, CreatedAt: now, UpdatedAt: now,
	}
	_, _, err := s.back.Store.Add(t.Context(), &line)
	require.NoError(t, err)
	require.NoError(t, s.back.Store.Beat(t.Context(), "w", nil, time.Now()))
	s.end(t, line.Ref(), completion.Failed)
	turn := line
	turn.ID, turn.Batch, turn.Line, turn.Conversation = completion.NewJobID(), "", 0, "conv_1"
	_, _, err = s.back.Store.Add(t.Context(), &turn)
	require.NoError(t, err)
	s.end(t, turn.Ref(), completion.Failed)
	_, body := s.do(t, http.MethodGet, "/v1/system/failures", "")
	require.Equal(t, `["`+turn.ID+`"]`, gjson.Get(body, "data.#.id").Raw)
	require.True(t, gjson.Get(body, "data.0.turn").Bool())
	for _, id := range []string{line.ID, turn.ID} {
		resp, body := s.do(t, http.MethodPost, "/v1/system/failures/acme/"+id+"/retry", "")
		require.Equal(t, http.StatusConflict, resp.StatusCode, body)
		require.Equal(t, "job_not_retryable", gjson.Get(body, "error.code").Str)
	}
}

// Who needs no key may see all there is.
func TestSystem_AuthOff(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *api.Config) { c.Auth = "off" })
	resp, body := s.do(t, http.MethodGet, "/v1/system", "", "Authorization", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	resp, body = s.do(t, http.MethodPost, "/v1/keys", `{"scopes":["system"]}`, "Content-Type", "application/json", "Authorization", "")
	require.Equal(t, http.StatusCreated, resp.StatusCode, body)
}
