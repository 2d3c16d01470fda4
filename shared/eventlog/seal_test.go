package eventlog_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/eventlog/eventlogtest"
)

// TestLog_Seal_I4_SaysWhatWasNotSaid closes the log of a job whose last deltas did not get into it, while its worker
// comes back to append them.
func TestLog_Seal_I4_SaysWhatWasNotSaid(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(`é\ud83d\ude00`, 30_000)
	for name, c := range map[string]struct {
		state  completion.State
		result string
	}{
		"Long":    {completion.Completed, `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"` + long + `"},"finish_reason":"stop"}]}`},
		"Calls":   {completion.Completed, `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":` + long + `"}}]},"finish_reason":"tool_calls"},{"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":"stop"}]}`},
		"Partial": {completion.Failed, `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"so fa"},"finish_reason":null}]}`},
		"Nothing": {completion.Failed, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, log := setup(t, eventlog.Options{})
			ref := eventlogtest.Job()
			worker := eventlogtest.Open(t, log, ref)
			eventlogtest.Write(t, worker, eventlogtest.Started(1), eventlogtest.Delta(1, "so"))
			job := finished(ref, 0)
			job.State, job.Result, job.Unsaid = c.state, json.RawMessage(c.result), true
			done := make(chan error, 9)
			for range cap(done) - 1 {
				go func() { done <- log.Seal(t.Context(), job) }()
			}
			go func() { done <- worker.Append(t.Context(), eventlogtest.Delta(1, " far")) }()
			for range cap(done) {
				if err := <-done; err != nil {
					require.True(t, errors.Is(err, completion.ErrStale) || errors.Is(err, completion.ErrFinal), err)
				}
			}
			var said answer.Answer
			finals := 0
			for r, err := range log.Follow(t.Context(), ref, 0) {
				require.NoError(t, err)
				e, err := r.Event()
				require.NoError(t, err)
				if e.Type == completion.EventStarted {
					said = answer.Answer{}
				}
				if e.Type.Final() {
					finals++
				}
				for _, chunk := range e.Chunks {
					_, err := said.Add(chunk)
					require.NoError(t, err)
				}
			}
			require.Equal(t, 1, finals)
			if c.result == "" {
				return
			}
			same := gjson.Get(c.result, "choices|@ugly").Raw == gjson.GetBytes(said.Completion(), "choices|@ugly").Raw
			require.True(t, same, "byte for byte; too long to show")
		})
	}
}
