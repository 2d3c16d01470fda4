package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// mid is an answer that takes some seconds, so that there is time to break something in its middle.
const mid = "tps=60&tokens=180"

// whole checks that a story ends with the whole answer and that the store agrees (I4).
func whole(t *testing.T, a *apiProcess, job client.Job, story []completion.Event) client.Job {
	t.Helper()
	require.Equal(t, completion.EventCompleted, story[len(story)-1].Type, types(story))
	stored := a.read(t, job.ID)
	require.Equal(t, completion.Completed, stored.State)
	require.Equal(t, modelsim.AnswerOf(180, prompt), content(stored))
	require.Equal(t, content(stored), text(story...), "I4: nothing is doubled or lost")
	return stored
}

// TestWorker_I1_DrainedThenKilled moves one job over three workers: the first is told to stop, the second is killed.
// Neither costs a try, of which there is only one.
func TestWorker_I1_DrainedThenKilled(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 0, "SLUICE_INTERACTIVE_ATTEMPTS=1", "SLUICE_DRAIN_LIMIT=300ms")
	first := c.startWorker(t)
	job := c.apis[0].submit(t, "tps=200&tokens=180&stall=40&times=2&key=drained") // silent until its worker ends, twice
	v, later := native(t, job, job.Stream.NATSURL, 0), c.apis[0].sse(t, job, 0)
	v.spoke(t, 1)
	second := c.startWorker(t)
	first.stop(t, syscall.SIGTERM)
	v.spoke(t, 2)
	c.startWorker(t)
	second.kill()

	story := v.end(t, 0)
	require.Equal(t, 3, whole(t, c.apis[0], job, story).Attempt)
	require.Equal(t, story, later.end(t, 0))
	attempts := []int{}
	for _, e := range story {
		if e.Type == completion.EventStarted {
			attempts = append(attempts, e.Attempt)
		}
	}
	require.Equal(t, []int{1, 2, 3}, attempts)
	handed := slices.IndexFunc(story, func(e completion.Event) bool { return e.Type == completion.EventRetrying })
	require.Equal(t, completion.CodeDraining, story[handed].Error.Code)
}

// TestAPI_I3_DiesWhileItStreams kills the only api, and stops it, under viewers that hold on to its address.
func TestAPI_I3_DiesWhileItStreams(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0, 1)
	addr := process.FreeAddr()
	a := c.startAPI(t, addr)
	job := a.submit(t, "tps=15&tokens=180") // long enough for an api to start twice on a busy machine
	sse, tcp := a.sse(t, job, 0), native(t, job, job.Stream.NATSURL, 0)
	sse.spoke(t, 1)
	a.kill()
	require.Zero(t, a.get(t, "/healthz").status)
	a = c.startAPI(t, addr)
	a.ready(t)
	sse.spoke(t, 1)

	resp := a.open(t, job.EventsURL)
	a.stop(t, syscall.SIGTERM)
	require.Contains(t, rest(t, resp.Body), "event: reconnect\n", "who listens is told to come back")
	a = c.startAPI(t, addr)
	story := sse.end(t, 0)
	require.Equal(t, story, tcp.end(t, 0))
	require.Equal(t, 1, whole(t, a, job, story).Attempt, "the generation does not depend on its viewers")
}

// TestRedis_I1_LosesAll has Redis away when a job comes, and then empty while jobs are queued and running.
func TestRedis_I1_LosesAll(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1, "SLUICE_INTERACTIVE_SLOTS=2")
	a := c.apis[0]
	c.redis.Kill(t)
	a.get(t, "/readyz").refused(t, http.StatusServiceUnavailable, completion.CodeUnavailable, "")
	require.Contains(t, a.get(t, "/readyz").body, "Redis")
	late := a.submit(t, "tps=0&key=late")
	c.redis.Start(t)
	require.Equal(t, completion.Completed, a.finished(t, late.ID).State)
	require.EqualValues(t, 1, c.Stats().Keys["late"])

	var jobs []client.Job
	for i := range 5 {
		jobs = append(jobs, a.submit(t, fmt.Sprintf("%s&key=%d", mid, i)))
	}
	first := native(t, jobs[0], jobs[0].Stream.NATSURL, 0)
	first.spoke(t, 1)
	require.NoError(t, c.redis.Client(t).FlushAll(t.Context()).Err())
	for i, job := range jobs {
		stored := whole(t, a, job, a.sse(t, job, 0).end(t, 0))
		require.Equal(t, 1, stored.Attempt)
		require.EqualValues(t, 1, c.Stats().Keys[fmt.Sprint(i)], "I2: what ran is not generated twice")
	}
}

// TestNATS_I3_RestartsInMidStream stops nats-server under a running job and its viewers, and starts it on what it had.
func TestNATS_I3_RestartsInMidStream(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	a := c.apis[0]
	job := a.submit(t, mid+"&key=once")
	viewers := []*viewer{native(t, job, job.Stream.NATSURL, 0), native(t, job, job.Stream.WebSocketURL, 0), a.sse(t, job, 0)}
	for _, v := range viewers {
		v.spoke(t, 1)
	}
	c.nats.signal(t, syscall.SIGTERM)
	c.nats.code(t)
	require.Contains(t, a.get(t, "/readyz").body, "NATS")
	dark := a.submit(t, "tps=0&key=dark")
	c.nats.begin(t)
	story := viewers[0].end(t, 0)
	require.Equal(t, 1, whole(t, a, job, story).Attempt)
	for _, v := range viewers {
		require.Equal(t, story, v.end(t, 0), v.name)
	}
	require.Equal(t, completion.Completed, a.finished(t, dark.ID).State, "accepted while NATS was away")
	require.EqualValues(t, 1, c.Stats().Keys["once"])
	require.EqualValues(t, 1, c.Stats().Keys["dark"])
}

// TestDatabase_I2_AwayAtTheEnd cuts the database off while a job runs, until after its last chunk.
func TestDatabase_I2_AwayAtTheEnd(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fault{"Refused": refused, "Silent": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p := startProxied(t)
			a := c.apis[0]
			c.startWorker(t)

			job := a.submit(t, "tps=100&tokens=180&key=once")
			v := native(t, job, job.Stream.NATSURL, 0)
			v.spoke(t, 1)
			p.set(fault)
			a.do(t, http.MethodPost, "/v1/jobs", body("sim")).refused(t, http.StatusServiceUnavailable, completion.CodeUnavailable, "")
			a.get(t, "/readyz").refused(t, http.StatusServiceUnavailable, completion.CodeUnavailable, "")
			a.get(t, "/v1/jobs/"+job.ID).refused(t, http.StatusServiceUnavailable, completion.CodeUnavailable, "")
			until(t, "the upstream to have said all", func() bool { return c.Stats().InFlight == 0 })
			p.set(none)
			require.Equal(t, 1, whole(t, a, job, v.end(t, 0)).Attempt)
			require.EqualValues(t, 1, c.Stats().Keys["once"], "I2: paid once")
		})
	}
}

// open opens an event stream by hand, without the client that resumes by itself, and waits for its first bytes.
func (a *apiProcess) open(t *testing.T, path string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+path, http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+a.key)
	resp, err := web.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	_, err = resp.Body.Read(make([]byte, 1))
	require.NoError(t, err)
	return resp
}

func rest(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}
