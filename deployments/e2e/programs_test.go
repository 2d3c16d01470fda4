package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// TestPrograms is what an installation does while nothing breaks: two api and two worker processes for all of it.
func TestPrograms(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 2, "SLUICE_INTERACTIVE_ATTEMPTS=3")
	for api, lane := range completion.Lanes {
		t.Run("Viewers_I3_I4_I6/"+string(lane), func(t *testing.T) {
			t.Parallel()
			c.viewersSeeAll(t, lane, c.apis[api], c.apis[1-api])
		})
	}
	t.Run("Cancel_I9/Running", c.cancelRunning)
	t.Run("Cancel_I9/Queued", c.cancelQueued)
	t.Run("Retry/ServerError", c.retryServerError)
	t.Run("Retry/BadRequest", c.retryBadRequest)
	t.Run("Retry/Cut", c.retryCut)
	t.Run("Retry/UsedUp", c.retryUsedUp)
	t.Run("Key_I7/SameBodyJoins", c.sameKeySameJob)
	t.Run("Key_I7/OtherBodyConflicts", c.sameKeyOtherBody)
	t.Run("List/PagesAreWhole", c.listPages)
	t.Run("BadInput_IsRefusedNotEnqueued", c.badInput)
	t.Run("OddAnswer_IsKept_I4", c.oddAnswer)
	t.Run("Request_ReachesTheUpstreamWhole", c.wholeRequest)
}

// viewersSeeAll follows one job from before, during and after it, over SSE of both apis, NATS and WebSocket.
func (c *cluster) viewersSeeAll(t *testing.T, lane completion.Lane, here, there *apiProcess) {
	t.Helper()
	job := here.hand(t, client.Submission{Request: chat("sim?tps=100&tokens=150"), Lane: lane, Metadata: map[string]string{"k": "v"}})
	require.Equal(t, lane, job.Lane)
	require.Equal(t, map[string]string{"k": "v"}, job.Metadata)
	require.Equal(t, c.nats.url, job.Stream.NATSURL)
	tcp := native(t, job, job.Stream.NATSURL, 0)
	viewers := map[*viewer]int64{tcp: 0, native(t, job, job.Stream.WebSocketURL, 0): 0, there.sse(t, job, 0): 0}
	tcp.spoke(t, 1)
	seen := tcp.until(t, func(e completion.Event) bool { return e.Type == completion.EventDelta }).Seq
	for _, after := range []int64{0, seen} {
		viewers[native(t, job, job.Stream.NATSURL, after)] = after
		viewers[native(t, job, job.Stream.WebSocketURL, after)] = after
		viewers[here.sse(t, job, after)] = after
	}
	final := tcp.until(t, func(e completion.Event) bool { return e.Type.Final() })
	for _, a := range c.apis {
		require.Equal(t, completion.Completed, a.read(t, job.ID).State, "I6: who sees the final event can read the result")
	}
	viewers[native(t, job, job.Stream.WebSocketURL, 0)] = 0
	viewers[there.sse(t, job, seen)] = seen
	viewers[native(t, job, job.Stream.NATSURL, final.Seq-1)] = final.Seq - 1

	story := tcp.end(t, 0)
	for v, after := range viewers {
		require.Equal(t, story[after:], v.end(t, after), "%s after %d", v.name, after)
	}
	stored := there.read(t, job.ID)
	require.Equal(t, modelsim.AnswerOf(150, prompt), content(stored))
	require.Equal(t, content(stored), text(story...), "I4")
	require.JSONEq(t, string(stored.Result), string(final.Result))
	require.EqualValues(t, 150, gjson.GetBytes(stored.Usage, "completion_tokens").Int())
	require.Equal(t, "stop", stored.FinishReason)
	require.Equal(t, 1, stored.Attempt)
	require.Equal(t, http.StatusNoContent, here.do(t, http.MethodGet, job.EventsURL, "", "Last-Event-ID", fmt.Sprint(final.Seq)).status)
}

func (c *cluster) cancelRunning(t *testing.T) {
	t.Parallel()
	before := c.Stats().Disconnects
	job := c.apis[0].submit(t, "tps=50&tokens=100000&key="+t.Name())
	v := native(t, job, job.Stream.NATSURL, 0)
	v.spoke(t, 1)
	_, err := c.apis[1].Cancel(t.Context(), job.ID)
	require.NoError(t, err)
	story := v.end(t, 0)
	until(t, "the upstream to see the client leave", func() bool { return c.Stats().Disconnects > before })

	final := story[len(story)-1]
	require.Equal(t, completion.EventCancelled, final.Type)
	stored := c.apis[0].read(t, job.ID)
	require.Equal(t, completion.Cancelled, stored.State)
	require.Equal(t, completion.CodeCancelled, stored.Error.Code)
	require.NotEmpty(t, content(stored), "the partial text is kept")
	require.Equal(t, content(stored), text(story...), "I4 holds for what there is")
	require.True(t, strings.HasPrefix(modelsim.AnswerOf(10_000, prompt), content(stored)))
	require.Positive(t, gjson.GetBytes(stored.Usage, "total_tokens").Int(), "the usage is kept, if only estimated")
	require.EqualValues(t, 1, c.Stats().Keys[t.Name()])

	again, err := c.apis[1].Cancel(t.Context(), job.ID)
	require.NoError(t, err, "a cancel may be repeated")
	require.Equal(t, stored, again)
}

// cancelQueued cancels a job that waits for its next attempt.
func (c *cluster) cancelQueued(t *testing.T) {
	t.Parallel()
	job := c.apis[0].submit(t, "fail=500&retry_after=3600&key="+t.Name()) // a 503 would have the batch lane wait as long
	v := c.apis[1].sse(t, job, 0)
	v.until(t, func(e completion.Event) bool { return e.Type == completion.EventRetrying })
	cancelled, err := c.apis[1].Cancel(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, completion.Cancelled, cancelled.State)
	story := v.end(t, 0)
	require.Equal(t, completion.EventCancelled, story[len(story)-1].Type)
	require.EqualValues(t, 1, c.Stats().Keys[t.Name()])
}

func (c *cluster) retryServerError(t *testing.T) {
	t.Parallel()
	job := c.apis[0].submit(t, "fail=500&times=2&key="+t.Name())
	story := c.apis[0].sse(t, job, 0).end(t, 0)
	require.Equal(t, 3, count(story, completion.EventStarted), types(story))
	require.Equal(t, 2, count(story, completion.EventRetrying), types(story))
	stored := c.apis[1].read(t, job.ID)
	require.Equal(t, completion.Completed, stored.State)
	require.Equal(t, 3, stored.Attempt)
	require.Nil(t, stored.Error)
	require.Equal(t, modelsim.Answer(prompt), content(stored))
	require.EqualValues(t, 3, c.Stats().Keys[t.Name()])
}

func (c *cluster) retryBadRequest(t *testing.T) {
	t.Parallel()
	job := c.apis[0].submit(t, "fail=400&key="+t.Name())
	story := c.apis[1].sse(t, job, 0).end(t, 0)
	require.Zero(t, count(story, completion.EventRetrying), types(story))
	stored := c.apis[1].read(t, job.ID)
	require.Equal(t, completion.Failed, stored.State)
	require.Equal(t, completion.CodeUpstreamRejected, stored.Error.Code)
	require.False(t, stored.Error.Retryable)
	require.EqualValues(t, 1, c.Stats().Keys[t.Name()])
}

func (c *cluster) retryCut(t *testing.T) {
	t.Parallel()
	job := c.apis[0].submit(t, "cut=5&times=1&key="+t.Name())
	story := native(t, job, job.Stream.WebSocketURL, 0).end(t, 0)
	require.Equal(t, 1, count(story, completion.EventRetrying), types(story))
	for _, e := range story {
		if e.Type == completion.EventRetrying {
			require.Equal(t, completion.CodeCut, e.Error.Code)
			require.NotNil(t, e.RetryAt)
		}
	}
	require.Equal(t, modelsim.Answer(prompt), text(story...), "nothing of the first attempt is in the text")
	require.Equal(t, content(c.apis[0].read(t, job.ID)), text(story...), "I4")
}

func (c *cluster) retryUsedUp(t *testing.T) {
	t.Parallel()
	job := c.apis[1].submit(t, "cut=5&key="+t.Name())
	story := c.apis[0].sse(t, job, 0).end(t, 0)
	stored := c.apis[0].read(t, job.ID)
	require.Equal(t, completion.Failed, stored.State)
	require.Equal(t, completion.CodeCut, stored.Error.Code)
	require.Equal(t, 3, stored.Attempt)
	require.NotEmpty(t, content(stored), "the partial text is kept")
	require.Equal(t, content(stored), text(story...), "I4")
	require.EqualValues(t, 3, c.Stats().Keys[t.Name()])
}

func (c *cluster) sameKeySameJob(t *testing.T) {
	t.Parallel()
	const clients = 16
	ids, joined := make([]string, clients), make([]string, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			a := c.apis[i%2].do(t, http.MethodPost, "/v1/jobs", body("sim-instant?key="+t.Name()), "Idempotency-Key", t.Name())
			ids[i], joined[i] = gjson.Get(a.body, "id").Str, a.header.Get("Idempotent-Replayed")
		})
	}
	all.Wait()
	made := 0
	for i := range clients {
		require.NotEmpty(t, ids[i])
		require.Equal(t, ids[0], ids[i])
		if joined[i] == "" {
			made++
		}
	}
	require.Equal(t, 1, made, "one made it, the others joined")
	require.Equal(t, completion.Completed, c.apis[1].finished(t, ids[0]).State)
	require.EqualValues(t, 1, c.Stats().Keys[t.Name()])
	late, err := c.apis[1].Submit(t.Context(), client.Submission{Request: chat("sim-instant?key=" + t.Name()), Key: t.Name()})
	var conflict *client.Error
	require.ErrorAs(t, err, &conflict, "the body's bytes count: %v", late)
}

func (c *cluster) sameKeyOtherBody(t *testing.T) {
	t.Parallel()
	first := c.apis[0].do(t, http.MethodPost, "/v1/jobs", body("sim-instant"), "Idempotency-Key", t.Name())
	require.Equal(t, http.StatusAccepted, first.status, first.body)
	other := c.apis[1].do(t, http.MethodPost, "/v1/jobs", body("sim"), "Idempotency-Key", t.Name())
	other.refused(t, http.StatusConflict, completion.CodeKeyConflict, "")
	require.Equal(t, "false", other.header.Get("X-Should-Retry"))
}

// body is a submission for a model.
func body(model string) string { return `{"request": ` + string(chat(model)) + `}` }

func (c *cluster) listPages(t *testing.T) {
	t.Parallel()
	var want []string
	for i := range 5 {
		job := c.apis[i%2].hand(t, client.Submission{Request: chat("sim-instant?key=" + t.Name())})
		want = append(want, job.ID)
	}
	for _, id := range want {
		c.apis[0].finished(t, id)
	}
	query := "/v1/jobs?state=completed&order=asc&limit=2&model=" + strings.NewReplacer("?", "%3F", "=", "%3D", "/", "%2F").Replace("sim-instant?key="+t.Name())
	var got []string
	for i, after := 0, ""; ; i++ {
		a := c.apis[i%2].get(t, query+after)
		require.Equal(t, http.StatusOK, a.status, a.body)
		for _, id := range gjson.Get(a.body, "data.#.id").Array() {
			got = append(got, id.Str)
		}
		if !gjson.Get(a.body, "has_more").Bool() {
			break
		}
		after = "&after=" + gjson.Get(a.body, "last_id").Str
	}
	require.ElementsMatch(t, want, got, "each once")
	require.IsIncreasing(t, got)
}

// wholeRequest sends parameters that nobody here knows; the simulated model answers as they say.
func (c *cluster) wholeRequest(t *testing.T) {
	t.Parallel()
	request := `{"model":"sim-instant?tool=look_up","messages":[{"role":"user","content":"hello"}],"tools":[{"type":"function","function":{"name":"look_up"}}],"x_unknown":{"deep":[1]}}`
	a := c.apis[0].do(t, http.MethodPost, "/v1/jobs", `{"request":`+request+`}`)
	require.Equal(t, http.StatusAccepted, a.status, a.body)
	stored := c.apis[1].finished(t, gjson.Get(a.body, "id").Str)
	require.Equal(t, completion.Completed, stored.State)
	require.Equal(t, "tool_calls", stored.FinishReason)
	require.Equal(t, "look_up", gjson.GetBytes(stored.Result, "choices.0.message.tool_calls.0.function.name").Str)
}

// TestMigrate_AllWays runs migrations to and fro under an api that says when they are missing.
func TestMigrate_AllWays(t *testing.T) {
	t.Parallel()
	c := startServers(t)
	require.Contains(t, c.migrate(t, "status"), "not applied")
	a := c.startAPI(t, "127.0.0.1:0")
	a.use("sk-sluice-unknown")
	require.Equal(t, http.StatusOK, a.get(t, "/healthz").status)
	missing := func() {
		t.Helper()
		ready := a.get(t, "/readyz")
		ready.refused(t, http.StatusServiceUnavailable, completion.CodeUnavailable, "")
		require.Contains(t, ready.body, "migrate up")
		a.do(t, http.MethodPost, "/v1/jobs", body("sim")).refused(t, http.StatusServiceUnavailable, completion.CodeUnavailable, "")
	}
	missing()
	early := program{name: "worker", env: append(c.env, c.nats.creds("worker")...)}.start(t)
	early.await(t, "waiting for the migrations.*run migrate up")
	require.Contains(t, c.migrate(t, "up"), "applied ")
	early.await(t, "worker ready")
	early.stop(t, syscall.SIGTERM)
	require.Contains(t, c.migrate(t, "up"), "nothing to do")
	require.NotContains(t, c.migrate(t, "status"), "not applied")
	a.ready(t)
	require.Contains(t, c.migrate(t, "down"), "took back")
	missing()
	c.migrate(t, "up")
	a.ready(t)
	a.use(c.newKey(t, "local", "submit,read"))
	c.startWorker(t)
	require.Equal(t, completion.Completed, a.finished(t, a.submit(t, "tps=0").ID).State)
}

// TestWorker_StalledUpstream has a limit so short that it would disturb other tests.
func TestWorker_StalledUpstream(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1, "SLUICE_UPSTREAM_IDLE=1s")
	job := c.apis[0].submit(t, "tps=0&stall=3&times=1&key=stall")
	story := c.apis[0].sse(t, job, 0).end(t, 0)
	require.Equal(t, completion.EventCompleted, story[len(story)-1].Type, types(story))
	at := 0
	for story[at].Type != completion.EventRetrying {
		at++
	}
	require.Equal(t, completion.CodeStalled, story[at].Error.Code)
	require.NotEmpty(t, text(story[:at]...), "what came before the stall was seen")
	require.Equal(t, modelsim.Answer(prompt), text(story...))
	until(t, "the upstream to be left", func() bool { return c.Stats().Disconnects > 0 })
}

// TestPrograms_StartWithoutServers checks that a program says which server it waits for.
func TestPrograms_StartWithoutServers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"api", "worker"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := program{name: name, env: []string{"SLUICE_DATABASE_URL=postgres://nobody@" + process.FreeAddr() + "/none", "SLUICE_PRIVATE_ADDR=127.0.0.1:0"}}.start(t)
			p.await(t, "waiting for PostgreSQL")
			p.signal(t, syscall.SIGTERM)
			p.code(t)
		})
	}
	for _, name := range []string{"api", "worker", "migrate"} {
		t.Run(name+"/Unconfigured", func(t *testing.T) {
			t.Parallel()
			p := program{name: name}.run(t)
			require.Equal(t, 2, p.code(t))
			require.Contains(t, p.err.String(), "--help")
		})
	}
}
