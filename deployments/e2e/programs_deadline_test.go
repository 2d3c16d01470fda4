package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// TestDeadline_WaitedTooLong has no worker, and then no Redis either: the job expires all the same, and costs nothing.
func TestDeadline_WaitedTooLong(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 0)
	a := c.apis[0]
	waits := func() client.Job {
		return a.hand(t, client.Submission{Request: chat("sim?tps=0&key=late"), Timeout: 0.5})
	}
	job := waits()
	v := native(t, job, job.Stream.NATSURL, 0)
	c.redis.Kill(t)
	dark := waits()
	for _, job := range []client.Job{job, dark} {
		stored := a.finished(t, job.ID)
		require.Equal(t, completion.Expired, stored.State)
		require.Equal(t, completion.CodeExpired, stored.Error.Code)
		require.Zero(t, stored.Attempt)
	}
	story := v.end(t, 0)
	require.Len(t, story, 1)
	require.Equal(t, completion.EventExpired, story[0].Type)
	c.redis.Start(t)
	c.startWorker(t)
	next := a.submit(t, "tps=0&key=next")
	require.Equal(t, completion.Completed, a.finished(t, next.ID).State)
	require.Zero(t, c.Stats().Keys["late"], "the upstream was never asked")
}

// TestDeadline_InMidStream ends a job that runs, with what it has; and one whose worker was killed, with no worker left.
func TestDeadline_InMidStream(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 0, "SLUICE_WORKER_TTL=2s")
	a := c.apis[0]
	w := c.startWorker(t)
	for name, timeout := range map[string]float64{"Live": 5, "Dead": 6} {
		job := a.hand(t, client.Submission{Request: chat("sim?tps=0&tokens=30&stall=20"), Timeout: timeout})
		v := native(t, job, job.Stream.NATSURL, 0)
		v.spoke(t, 1)
		if name == "Dead" {
			w.kill()
		}
		story := v.end(t, 0)
		stored := a.read(t, job.ID)
		require.Equal(t, completion.EventExpired, story[len(story)-1].Type, name)
		require.Equal(t, completion.Expired, stored.State, name)
		require.NotEmpty(t, content(stored), name)
		require.Equal(t, content(stored), text(story...), "I4: %s", name)
		require.NotEmpty(t, stored.Usage, name)
		if name == "Dead" {
			w = c.startWorker(t)
		}
	}
}
