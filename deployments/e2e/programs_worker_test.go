package e2e_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/eventlog"
)

// TestDatabase_I2_WorkerKilledWhileAway has the database away when an answer is whole, and kills the worker that holds it
// before the database is back.
func TestDatabase_I2_WorkerKilledWhileAway(t *testing.T) {
	t.Parallel()
	c, p := startProxied(t)
	a := c.apis[0]
	first := c.startWorker(t)

	job := a.submit(t, "tps=100&tokens=180&key=once")
	v := native(t, job, job.Stream.NATSURL, 0)
	v.spoke(t, 1)
	p.set(refused)
	v.until(t, func(e completion.Event) bool { return e.Type == completion.EventStoring })
	first.kill()
	p.set(none)
	c.startWorker(t)
	story := v.end(t, 0)
	whole(t, a, job, story)
	require.Equal(t, 1, count(story, completion.EventStarted))
	require.EqualValues(t, 1, c.Stats().Keys["once"], "paid once")
}

// TestWorker_I5_Zombie pauses a worker until another one has its job, and lets it go on while that one speaks.
func TestWorker_I5_Zombie(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 0, "SLUICE_WORKER_TTL=3s", "SLUICE_INTERACTIVE_ATTEMPTS=1")
	a := c.apis[0]
	zombie := c.startWorker(t)
	job := a.submit(t, mid+"&key=twice")
	v := native(t, job, job.Stream.NATSURL, 0)
	v.spoke(t, 1)
	zombie.signal(t, syscall.SIGSTOP)
	other := c.startWorker(t)
	v.spoke(t, 2)
	zombie.signal(t, syscall.SIGCONT)
	zombie.await(t, "job taken over by a later attempt|attempt was not the job.s latest any more") // in the middle, or at the end

	story := v.end(t, 0)
	require.Equal(t, 2, whole(t, a, job, story).Attempt, "a pause costs no try")
	takeOver := slices.IndexFunc(story, func(e completion.Event) bool { return e.Attempt == 2 })
	for _, e := range story[takeOver:] {
		require.Equal(t, 2, e.Attempt, "the zombie has nothing to say")
	}
	require.Equal(t, story, a.sse(t, job, 0).end(t, 0))
	other.stop(t, syscall.SIGTERM)
	next := a.submit(t, "tps=0")
	require.Equal(t, completion.Completed, a.finished(t, next.ID).State, "the zombie is a worker again")
}

// viewOn follows a job on a connection that many viewers share.
func viewOn(t *testing.T, nc *nats.Conn, job client.Job) *viewer {
	t.Helper()
	ref := completion.Ref{Tenant: strings.Split(job.Subject, ".")[1], Job: job.ID}
	return watch(t, "viewer of "+job.ID, func(ctx context.Context) iter.Seq2[completion.Event, error] {
		return decoded(eventlog.View(ctx, nc, ref, 0))
	})
}

// TestWorker_DrainOf500Streams stops a worker under 500 streams that would not end by themselves, and then the api that
// serves some of them.
func TestWorker_DrainOf500Streams(t *testing.T) {
	t.Parallel()
	const streams = 500
	c := startServers(t, "SLUICE_INTERACTIVE_ATTEMPTS=1", "SLUICE_INTERACTIVE_SLOTS=600", "SLUICE_DRAIN_LIMIT=1s", "SLUICE_UPSTREAM_IDLE=10m") // no stream stalls, however long it takes to begin them all
	c.migrate(t, "up")
	addr := process.FreeAddr()
	a := c.startAPI(t, addr)
	a.ready(t)
	first := c.startWorker(t)
	nc := connect(t, c.nats.url, a.everything(t))
	viewers := make([]*viewer, streams)
	jobs := make([]client.Job, streams)
	for i := range viewers {
		jobs[i] = a.submit(t, fmt.Sprintf("tps=0&tokens=30&stall=15&times=1&key=drain%d", i))
		if i%10 == 0 {
			viewers[i] = a.sse(t, jobs[i], 0)
		} else {
			viewers[i] = viewOn(t, nc, jobs[i])
		}
	}
	for _, v := range viewers {
		v.spoke(t, 1)
	}
	resp := a.open(t, a.submit(t, "tps=0&stall=15").EventsURL) // one that does not end
	c.startWorker(t)
	first.stop(t, syscall.SIGTERM)
	a.stop(t, syscall.SIGTERM)
	require.Contains(t, rest(t, resp.Body), "event: reconnect\n", "who listens is told where to resume")
	a = c.startAPI(t, addr)
	for i, v := range viewers {
		story := v.end(t, 0)
		require.Equal(t, completion.EventCompleted, story[len(story)-1].Type, "%s: %v", v.name, types(story))
		require.Equal(t, 2, count(story, completion.EventStarted), "%s: %v", v.name, types(story))
		handed := slices.IndexFunc(story, func(e completion.Event) bool { return e.Type == completion.EventRetrying })
		require.Equal(t, completion.CodeDraining, story[handed].Error.Code)
		require.Equal(t, content(a.read(t, jobs[i].ID)), text(story...), "I4")
	}
}

// TestLanes_I10 fills the batch lane with jobs that do not end.
func TestLanes_I10(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1, "SLUICE_INTERACTIVE_SLOTS=1", "SLUICE_BATCH_SLOTS=2")
	a := c.apis[0]
	for i := range 5 {
		a.hand(t, client.Submission{Request: chat(fmt.Sprintf("sim?stall=0&key=batch%d", i)), Lane: completion.LaneBatch})
	}
	until(t, "a full batch lane", func() bool { return c.Stats().InFlight == 2 })
	job := a.submit(t, "tps=0")
	require.Equal(t, completion.Completed, a.finished(t, job.ID).State)
	require.EqualValues(t, 2, c.Stats().InFlight)
}

// TestQueue_PoisonIsShown puts a task into the queue that nobody can read.
func TestQueue_PoisonIsShown(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	a := c.apis[0]
	_, err := asynq.NewClientFromRedisClient(c.redis.Client(t)).Enqueue(asynq.NewTask("completion", []byte(`{"v":`)), asynq.Queue("interactive"), asynq.TaskID("junk"))
	require.NoError(t, err)
	job := a.submit(t, "tps=0")
	require.Equal(t, completion.Completed, a.finished(t, job.ID).State, "it blocks nobody")
	doctor := program{name: "sluice", args: []string{"doctor"}, env: append(c.env[:len(c.env):len(c.env)], "SLUICE_API_URL="+a.url)}
	var seen *child
	until(t, "the doctor to see it", func() bool {
		seen = doctor.run(t)
		return seen.code(t) == 1
	})
	require.Regexp(t, `FAIL +queue +lane interactive: task junk of .* cannot be read`, seen.out.String())
	require.Regexp(t, `ok +PostgreSQL`, seen.out.String())
}
