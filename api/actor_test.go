package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// actor is a worker whose every step a test decides.
type actor struct {
	t    *testing.T
	s    *server
	job  completion.Job
	tail completion.Tail
	said answer.Answer
}

// act waits for a job of acme and takes it.
func (s *server) act(t *testing.T) *actor {
	t.Helper()
	a := &actor{t: t, s: s}
	require.Eventually(t, func() bool {
		list, _, err := s.back.Store.List(t.Context(), "acme", store.Query{State: completion.Queued})
		require.NoError(t, err)
		if len(list) > 0 {
			a.job = list[0]
		}
		return len(list) > 0
	}, 10*time.Second, time.Millisecond)
	a.start()
	return a
}

// start begins the job's next attempt.
func (a *actor) start() {
	a.t.Helper()
	var err error
	require.NoError(a.t, a.s.back.Store.Beat(a.t.Context(), "actor", nil, time.Now()))
	a.job, err = a.s.back.Store.Claim(a.t.Context(), a.job.Ref(), "actor", time.Now())
	require.NoError(a.t, err)
	a.tail, err = a.s.back.Log.Open(a.t.Context(), a.job.Ref())
	require.NoError(a.t, err)
	a.said = answer.Answer{}
	a.append(completion.Event{Type: completion.EventStarted, Model: a.job.Model, Upstream: "main"})
}

func (a *actor) append(e completion.Event) {
	a.t.Helper()
	e.Attempt, e.At = a.job.Attempt, time.Now()
	require.NoError(a.t, a.tail.Append(a.t.Context(), e))
}

// say says chunks, all in one event.
func (a *actor) say(chunks ...string) {
	a.t.Helper()
	var list []json.RawMessage
	for _, c := range chunks {
		slim, err := a.said.Add(json.RawMessage(c))
		require.NoError(a.t, err)
		list = append(list, slim)
	}
	a.append(completion.Event{Type: completion.EventDelta, Chunks: list})
}

// end brings the job to a final state, or back to the queue.
func (a *actor) end(state completion.State, failure *completion.Error) {
	a.t.Helper()
	o := completion.Outcome{
		State: state, Upstream: "main", Error: failure, Result: a.said.Completion(), Usage: a.said.Usage(),
		FinishReason: a.said.FinishReason(), At: time.Now(),
	}
	if state == completion.Queued {
		require.NoError(a.t, a.s.back.Store.Retry(a.t.Context(), a.job.Ref(), a.job.Attempt, completion.Retry{Outcome: o}))
		a.append(completion.Event{Type: completion.EventRetrying, Error: failure})
		return
	}
	a.finish(o)
}

// finish stores an outcome and announces it.
func (a *actor) finish(o completion.Outcome) {
	a.t.Helper()
	stored, err := a.s.back.Store.Finish(a.t.Context(), a.job.Ref(), a.job.Attempt, o)
	require.NoError(a.t, err)
	a.append(stored.FinalEvent())
}

// chunk is an upstream's chunk with a piece of text.
func chunk(text string) string {
	b, _ := json.Marshal(text)
	return `{"id":"up-1","object":"chat.completion.chunk","created":7,"model":"m-2026","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":` + string(b) + `},"finish_reason":null}]}`
}

const (
	first = `{"id":"up-1","object":"chat.completion.chunk","created":7,"model":"m-2026","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}`
	stop  = `{"id":"up-1","object":"chat.completion.chunk","created":7,"model":"m-2026","system_fingerprint":"fp","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usage = `{"id":"up-1","object":"chat.completion.chunk","created":7,"model":"m-2026","system_fingerprint":"fp","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`
)
