package eventlogtest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// Sealer is a log that can be closed in a worker's place.
type Sealer interface {
	completion.Log
	Seal(ctx context.Context, job completion.Job) error
}

// RunSeal tests Seal of what open returns, as Run does.
func RunSeal(t *testing.T, open func(t *testing.T) Sealer) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func(*testing.T) Sealer)
	}{
		{"Seal_AppendsTheFinalEventOnce", sealOnce},
		{"Seal_I4_SaysTheWholeResult", sealResults},
		{"Seal_I4_NothingToSay", sealNothing},
		{"Seal_I4_ManyAtOnce", sealMany},
		{"Seal_I5_WorkerComesBack", sealAgainstWorker},
		{"Seal_I4_WorkerIsFaster", sealAfterWorker},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open)
		})
	}
}

// Ended is a job in a final state whose worker could not say all of its result. An empty result is none.
func Ended(ref completion.Ref, state completion.State, result string) completion.Job {
	return completion.Job{
		ID: ref.Job, Tenant: ref.Tenant, State: state, Attempt: 1, Model: "m", Upstream: "u", Unsaid: true,
		Result: json.RawMessage(result), FinishReason: "stop", FinishedAt: time.Now(),
	}
}

// Answered is a chat.completion of one choice with this text, which is escaped already.
func Answered(text string) string {
	return `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"` + text + `"},"finish_reason":"stop"}],"usage":{"total_tokens":3}}`
}

// SaysAll requires a viewer of the job to see one final event, and before it what the result says, byte for byte (I4).
func SaysAll(t testing.TB, log completion.Log, job completion.Job) []completion.Record {
	t.Helper()
	all, err := Collect(log.Follow(t.Context(), job.Ref(), 0))
	require.NoError(t, err)
	for i, r := range all {
		require.Equal(t, i == len(all)-1, r.Type.Final(), "%d of %d is %s", i, len(all), r.Type)
	}
	require.Equal(t, completion.EventType(job.State), all[len(all)-1].Type)
	said, ok, err := answer.Recall(func(yield func(completion.Record, error) bool) {
		for _, r := range all[:len(all)-1] {
			if !yield(r, nil) {
				return
			}
		}
	})
	require.NoError(t, err)
	require.True(t, ok, "the latest attempt is there from its start")
	for _, path := range []string{"choices|@ugly", "usage|@ugly"} {
		same := gjson.GetBytes(job.Result, path).Raw == gjson.GetBytes(said.Answer.Completion(), path).Raw
		require.True(t, same, "%s; too long to show", path)
	}
	return all
}

func sealOnce(t *testing.T, open func(*testing.T) Sealer) {
	log, ref := open(t), Job()
	Write(t, Open(t, log, ref), Started(1), Delta(1, "a"))
	job := Ended(ref, completion.Completed, Answered("a"))
	job.Unsaid = false
	for _, unsaid := range []bool{false, false, true} {
		job.Unsaid = unsaid
		require.NoError(t, log.Seal(t.Context(), job))
	}
	all, err := Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Len(t, all, 3, "a closed log is left as it is")
	job.State = completion.Running
	require.ErrorContains(t, log.Seal(t.Context(), job), "running")
}

func sealResults(t *testing.T, open func(*testing.T) Sealer) {
	long := strings.Repeat(`é\ud83d\ude00\u0000`, 20_000)
	for name, c := range map[string]struct {
		state  completion.State
		result string
	}{
		"Short":     {completion.Completed, Answered("so far")},
		"Long":      {completion.Completed, Answered(long)},
		"Nothing":   {completion.Completed, Answered("")},
		"Partial":   {completion.Failed, `{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"so fa"},"finish_reason":null}]}`},
		"HalfACall": {completion.Cancelled, `{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]},"finish_reason":null}]}`},
		"Calls": {completion.Completed, `{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":` + long + `"}},` +
			`{"id":"v","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`},
		"Choices": {completion.Completed, `{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"` + long + `"},"finish_reason":"stop"},` +
			`{"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":"length"},{"index":2,"message":{"role":"assistant","content":"` + long + `"},"finish_reason":null}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, ref := open(t), Job()
			Write(t, Open(t, log, ref), Started(1), Delta(1, "so"))
			job := Ended(ref, c.state, c.result)
			require.NoError(t, log.Seal(t.Context(), job))
			SaysAll(t, log, job)
		})
	}
	t.Run("EmptyLog", func(t *testing.T) {
		t.Parallel()
		log, job := open(t), Ended(Job(), completion.Completed, Answered(long))
		require.NoError(t, log.Seal(t.Context(), job))
		require.Equal(t, completion.EventStarted, SaysAll(t, log, job)[0].Type)
	})
}

// sealNothing has results that cannot be restated: the log is closed all the same.
func sealNothing(t *testing.T, open func(*testing.T) Sealer) {
	for name, result := range map[string]string{
		"None":        "",
		"NoObject":    `"x"`,
		"Uncuttable":  `{"id":"` + strings.Repeat("x", 300<<10) + `","choices":[]}`,
		"UncutNested": `{"choices":[{"index":0,"logprobs":{"content":[{"token":"` + strings.Repeat("x", 300<<10) + `"}]}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, ref := open(t), Job()
			Write(t, Open(t, log, ref), Started(1))
			require.NoError(t, log.Seal(t.Context(), Ended(ref, completion.Failed, result)))
			all, err := Collect(log.Follow(t.Context(), ref, 0))
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.Equal(t, completion.EventFailed, all[1].Type)
		})
	}
}

// sealMany has sealers that would interrupt each other for ever if none gave way.
func sealMany(t *testing.T, open func(*testing.T) Sealer) {
	ref := Job()
	job := Ended(ref, completion.Completed, Answered(strings.Repeat("x", 5_000_000)))
	Write(t, Open(t, open(t), ref), Started(1), Delta(1, "x"))
	done := make(chan error, 5)
	for range cap(done) {
		log := open(t)
		go func() { done <- log.Seal(t.Context(), job) }()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
	SaysAll(t, open(t), job)
}

// sealAgainstWorker has a worker that was paused and goes on where it was, while others close the log.
func sealAgainstWorker(t *testing.T, open func(*testing.T) Sealer) {
	log, ref := open(t), Job()
	worker := Open(t, log, ref)
	Write(t, worker, Started(1), Delta(1, "so"))
	job := Ended(ref, completion.Completed, Answered(strings.Repeat(`\u0000é`, 100_000)))
	done := make(chan error, 3)
	for range cap(done) {
		sealer := open(t)
		go func() { done <- sealer.Seal(t.Context(), job) }()
	}
	for r, err := range log.Follow(t.Context(), ref, 2) {
		require.NoError(t, err)
		require.Equal(t, completion.EventStarted, r.Type)
		break
	}
	for range 3 {
		err := worker.Append(t.Context(), Delta(1, "zombie"))
		require.True(t, errors.Is(err, completion.ErrStale) || errors.Is(err, completion.ErrFinal), err)
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
	require.ErrorIs(t, worker.Append(t.Context(), Delta(1, "zombie")), completion.ErrFinal)
	for _, r := range SaysAll(t, log, job) {
		require.NotContains(t, string(r.Data), "zombie")
	}
}

// sealAfterWorker has a worker that gets to say all before the sealers do.
func sealAfterWorker(t *testing.T, open func(*testing.T) Sealer) {
	log, ref := open(t), Job()
	job := Ended(ref, completion.Completed, Answered("abc"))
	Write(t, Open(t, log, ref), Started(1), Delta(1, "abc"), job.FinalEvent())
	require.NoError(t, log.Seal(t.Context(), job))
	all, err := Collect(log.Follow(t.Context(), ref, 0))
	require.NoError(t, err)
	require.Len(t, all, 3)
}
