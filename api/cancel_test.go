package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// abandon claims the job for a worker that is never seen again, and has it say words.
func (s *server) abandon(t *testing.T, ref completion.Ref, words ...string) completion.Tail {
	t.Helper()
	job, err := s.back.Store.Claim(t.Context(), ref, "dead", time.Now())
	require.NoError(t, err)
	tail, err := s.back.Log.Open(t.Context(), ref)
	require.NoError(t, err)
	require.NoError(t, tail.Append(t.Context(), completion.Event{Type: completion.EventStarted, Attempt: job.Attempt, Upstream: "u"}))
	for _, w := range words {
		require.NoError(t, tail.Append(t.Context(), word(job.Attempt, w)))
	}
	return tail
}

func word(attempt int, w string) completion.Event {
	return completion.Event{Type: completion.EventDelta, Attempt: attempt, Chunks: []json.RawMessage{
		fmt.Appendf(nil, `{"choices":[{"index":0,"delta":{"content":%q}}]}`, w),
	}}
}

// TestCancel_I9_DeadWorker cancels through two requests at once a job whose worker is dead: what it had said is kept, and
// it can say nothing more (I5).
func TestCancel_I9_DeadWorker(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	zombie := s.abandon(t, ref, "so ", "far")
	rung := make(chan completion.Ref, 10)
	stop, err := s.back.Bell.OnCancel(func(ref completion.Ref) { rung <- ref })
	require.NoError(t, err)
	defer stop()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "") })
	}
	both.Wait()
	resp, body := s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "cancelled", gjson.Get(body, "state").Str)
	require.Equal(t, "so far", gjson.Get(body, "result.choices.0.message.content").Str)
	require.True(t, gjson.Get(body, "usage.estimated").Bool())
	require.Equal(t, "cancelled", gjson.Get(body, "error.code").Str)

	require.Equal(t, ref, <-rung, "should the worker live after all, it stops spending")

	require.Error(t, zombie.Append(t.Context(), word(1, " and on")))
	_, err = s.back.Store.Finish(t.Context(), ref, 1, completion.Outcome{State: completion.Completed, At: time.Now()})
	require.ErrorIs(t, err, completion.ErrFinal)
	_, events := s.do(t, http.MethodGet, "/v1/jobs/"+ref.Job+"/events?after=2", "")
	require.Equal(t, 1, strings.Count(events, "event: cancelled\n"), "P2: cancel and resume do not exclude each other")
	require.Contains(t, events, "id: 3\nevent: delta\n")
	require.NotContains(t, events, "and on")
}

// TestCancel_I2_AnswerWasWhole: the worker had the whole answer and could not store it; it is not cancelled any more.
func TestCancel_I2_AnswerWasWhole(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	tail := s.abandon(t, ref, "all")
	require.NoError(t, tail.Append(t.Context(), completion.Event{Type: completion.EventStoring, Attempt: 1, State: completion.Completed}))
	_, body := s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "")
	require.Equal(t, "completed", gjson.Get(body, "state").Str)
	require.Equal(t, "all", gjson.Get(body, "result.choices.0.message.content").Str)
}
