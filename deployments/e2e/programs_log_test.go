package e2e_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// TestNATS_I4_AwayAtTheEnd stops nats-server under a running job until after its result is stored, and kills the only
// worker before it comes back: whoever closes the log says the whole result.
func TestNATS_I4_AwayAtTheEnd(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0)
	a := c.apis[0]
	worker := c.startWorker(t)
	job := a.submit(t, mid+"&key=once")
	viewers := []*viewer{native(t, job, job.Stream.NATSURL, 0), native(t, job, job.Stream.WebSocketURL, 0), a.sse(t, job, 0), c.apis[1].sse(t, job, 0)}
	for _, v := range viewers {
		v.spoke(t, 1)
	}
	c.nats.signal(t, syscall.SIGTERM)
	c.nats.code(t)
	require.Equal(t, completion.Completed, a.finished(t, job.ID).State, "the result waits for nobody")
	worker.kill()
	c.nats.begin(t)

	story := viewers[0].end(t, 0)
	whole(t, a, job, story)
	require.Equal(t, 2, count(story, completion.EventStarted), types(story))
	for _, v := range append(viewers, native(t, job, job.Stream.NATSURL, 0), c.apis[1].sse(t, job, 0)) {
		require.Equal(t, story, v.end(t, 0), v.name)
	}
	require.EqualValues(t, 1, c.Stats().Keys["once"], "I2: paid once")
}

// TestLog_I3_SmallerThanItsJob has an answer of five times what the log keeps.
func TestLog_I3_SmallerThanItsJob(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 0, "SLUICE_EVENT_BYTES=1048576")
	a := c.apis[0]
	job := a.submit(t, "tps=50&big=5000000&deltas=100")
	live := a.viewers(t, job)
	c.startWorker(t)
	half := native(t, job, job.Stream.NATSURL, 0)
	half.until(t, func(e completion.Event) bool { return e.Seq > 50 })
	late := a.viewers(t, job)
	story := live[0].whole(t)
	late = append(late, a.viewers(t, job)...)

	stored := a.read(t, job.ID)
	require.Equal(t, completion.Completed, stored.State)
	require.Len(t, content(stored), 5_000_000)
	same := content(stored) == string(spoken(story)["0.content"])
	require.True(t, same, "I4; too long to show")
	for _, v := range append(live, half) {
		require.Len(t, v.whole(t), len(story), "who was there from the start sees all")
	}
	final := story[len(story)-1]
	for _, v := range late {
		<-v.done
		require.NoError(t, v.err, v.name)
		require.Equal(t, []completion.Event{final}, v.all, "%s is led to the end", v.name)
	}
	require.Nil(t, final.Result, "it is too large for an event")
	require.EqualValues(t, 100, gjson.GetBytes(final.Usage, "completion_tokens").Int())
}
