package answer

import (
	"encoding/json"
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// recorded are the events as a log has them; their seqs are counted from 1 where they have none.
func recorded(t *testing.T, events ...completion.Event) iter.Seq2[completion.Record, error] {
	t.Helper()
	return func(yield func(completion.Record, error) bool) {
		for i, e := range events {
			if e.Seq == 0 {
				e.Seq = int64(i) + 1
			}
			data, err := e.Encode()
			require.NoError(t, err)
			if !yield(completion.Record{Seq: e.Seq, Attempt: e.Attempt, Type: e.Type, Data: data}, nil) {
				return
			}
		}
	}
}

func delta(attempt int, text, finish string) completion.Event {
	return completion.Event{Type: completion.EventDelta, Attempt: attempt, Chunks: []json.RawMessage{
		json.RawMessage(`{"choices":[{"index":0,"delta":{"content":"` + text + `"},"finish_reason":` + finish + `}]}`),
	}}
}

func TestRecall_I2_LatestAttempt(t *testing.T) {
	t.Parallel()
	started := func(n int) completion.Event { return completion.Event{Type: completion.EventStarted, Attempt: n} }
	failure := completion.NewError(completion.CodeCancelled, "")
	r, ok, err := Recall(recorded(t, started(1), delta(1, "lost", "null"), started(2), delta(2, "he", "null"), delta(2, "llo", `"stop"`),
		completion.Event{Type: completion.EventStoring, Attempt: 2, State: completion.Cancelled, Error: failure}))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 2, r.Attempt)
	require.Equal(t, "hello", gjson.GetBytes(r.Answer.Completion(), "choices.0.message.content").Str)
	require.True(t, r.Answer.Whole(nil))
	require.Equal(t, completion.Cancelled, r.Ended.State)
	require.Equal(t, failure, r.Ended.Error)

	cut := delta(2, "x", "null")
	cut.Seq = 9
	for name, events := range map[string][]completion.Event{
		"empty":                 nil,
		"discarded start":       {delta(1, "x", "null")},
		"hole":                  {started(2), cut},
		"delta of another's":    {started(2), delta(3, "x", "null")},
		"hole, then no started": {started(2), cut, delta(2, "y", "null")},
	} {
		_, ok, err := Recall(recorded(t, events...))
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
	r, ok, err = Recall(recorded(t, delta(1, "x", "null"), completion.Event{Type: completion.EventStoring, Attempt: 1, State: completion.Completed, Result: []byte(`{"id":"c"}`)}))
	require.NoError(t, err)
	require.True(t, ok, "the result was kept, whatever the log has discarded")
	require.JSONEq(t, `{"id":"c"}`, string(r.Ended.Result))
	away := errors.New("away")
	_, _, err = Recall(func(yield func(completion.Record, error) bool) { yield(completion.Record{}, away) })
	require.ErrorIs(t, err, away)
}
