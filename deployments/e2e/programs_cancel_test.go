package e2e_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// cancel cancels a job, which must be accepted.
func (a *apiProcess) cancel(t *testing.T, id string) client.Job {
	t.Helper()
	job, err := a.Cancel(t.Context(), id)
	require.NoError(t, err)
	return job
}

// cancelled checks a job that was cancelled after it had said something: what every viewer sees, and what is stored.
func cancelled(t *testing.T, a *apiProcess, job client.Job, story []completion.Event) {
	t.Helper()
	require.Equal(t, completion.EventCancelled, story[len(story)-1].Type, types(story))
	stored := a.read(t, job.ID)
	require.Equal(t, completion.Cancelled, stored.State)
	require.Equal(t, completion.CodeCancelled, stored.Error.Code)
	require.NotEmpty(t, content(stored))
	require.Equal(t, content(stored), text(story...), "I4: the partial text is what was streamed")
	require.Positive(t, gjson.GetBytes(stored.Usage, "completion_tokens").Int(), "what was spent is kept")
}

// TestCancel_I9_Retrying cancels a job between two tries, through the api that did not take it.
func TestCancel_I9_Retrying(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1, "SLUICE_RETRY_BASE=1h", "SLUICE_RETRY_MAX=1h")
	here, there := c.apis[0], c.apis[1]
	job := here.submit(t, "tps=0&tokens=30&cut=20&key=cut")
	v := native(t, job, job.Stream.NATSURL, 0)
	v.until(t, func(e completion.Event) bool { return e.Type == completion.EventRetrying })
	require.Equal(t, completion.Cancelled, there.cancel(t, job.ID).State, "at once: nobody runs it")
	cancelled(t, here, job, v.end(t, 0))
	require.Equal(t, completion.Cancelled, here.cancel(t, job.ID).State, "again is no harm")
	require.EqualValues(t, 1, c.Stats().Keys["cut"])
}

// TestCancel_I9_WorkerIsDead cancels a job whose worker was killed, with no worker left; one viewer resumes meanwhile.
func TestCancel_I9_WorkerIsDead(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0, "SLUICE_WORKER_TTL=2s")
	here, there := c.apis[0], c.apis[1]
	w := c.startWorker(t)
	job := here.submit(t, "tps=0&tokens=30&stall=20&key=dead")
	v := native(t, job, job.Stream.NATSURL, 0)
	v.spoke(t, 1)
	w.kill()
	there.cancel(t, job.ID)
	cancelled(t, here, job, v.end(t, 0))
	story := v.end(t, 0)
	require.Equal(t, story[2:], there.sse(t, job, 2).end(t, 2), "P2: cancel and resume do not exclude each other")
	require.EqualValues(t, 1, c.Stats().Keys["dead"])
}

// TestCancel_I9_BellIsLost cancels while NATS, which would carry the news, is away.
func TestCancel_I9_BellIsLost(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1)
	a := c.apis[0]
	job := a.submit(t, "tps=0&tokens=30&stall=20&key=bell")
	v := native(t, job, job.Stream.NATSURL, 0)
	v.spoke(t, 1)
	c.nats.signal(t, syscall.SIGTERM)
	c.nats.code(t)
	require.True(t, a.cancel(t, job.ID).CancelRequested)
	until(t, "the upstream to be left", func() bool { return c.Stats().InFlight == 0 })
	c.nats.begin(t)
	cancelled(t, a, job, v.end(t, 0))
}
