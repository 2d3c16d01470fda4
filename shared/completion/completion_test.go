package completion_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestState_Transitions(t *testing.T) {
	t.Parallel()
	allowed := map[completion.State]string{
		completion.Queued:  "running cancelled expired",
		completion.Running: "queued running completed failed cancelled expired",
	}
	for _, from := range completion.States {
		for _, to := range completion.States {
			want := strings.Contains(" "+allowed[from]+" ", " "+string(to)+" ")
			require.Equal(t, want, from.Can(to), "%s to %s", from, to)
		}
		require.Equal(t, allowed[from] == "", from.Final(), from)
	}
	require.Equal(t, []completion.State{completion.Queued, completion.Running}, completion.Sources(completion.Cancelled))
	require.Equal(t, []completion.State{completion.Running}, completion.Sources(completion.Completed))
	require.False(t, completion.State("").Final(), "an unknown state is no end")
}

func TestNewJobID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	last := ""
	for range 1000 {
		id := completion.NewJobID()
		require.True(t, completion.ValidToken(id))
		require.Len(t, id, 36)
		require.Equal(t, byte('7'), id[16], "version")
		require.False(t, seen[id])
		seen[id] = true
		require.GreaterOrEqual(t, id[:16], last, "ids sort by creation time")
		last = id[:16]
	}
}

func TestValidToken(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"a", "job_0-9z", strings.Repeat("x", 64)} {
		require.True(t, completion.ValidToken(s), s)
	}
	for _, s := range []string{"", "A", "a.b", "*", ">", "a b", "é", strings.Repeat("x", 65)} {
		require.False(t, completion.ValidToken(s), s)
	}
}

func TestEvent_Encode(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.FixedZone("", 3600))
	later := at.Add(time.Second)
	for name, c := range map[string]struct {
		event completion.Event
		want  string
	}{
		"started": {
			completion.Event{Type: completion.EventStarted, Seq: 1, Attempt: 1, At: at, Model: "m", Upstream: "main"},
			`{"type":"started","seq":1,"attempt":1,"at":"2026-01-02T02:04:05.678Z","model":"m","upstream":"main"}`,
		},
		"delta keeps the upstream's bytes": {
			completion.Event{Type: completion.EventDelta, Seq: 2, Attempt: 1, At: at, Chunks: []json.RawMessage{
				[]byte(`{"choices":[{"delta":{"content":"<\ud83d"}}]}`), []byte(`{"x":1}`),
			}},
			`{"type":"delta","seq":2,"attempt":1,"at":"2026-01-02T02:04:05.678Z","chunks":[{"choices":[{"delta":{"content":"<\ud83d"}}]},{"x":1}]}`,
		},
		"retrying": {
			completion.Event{Type: completion.EventRetrying, Seq: 3, Attempt: 1, At: at, RetryAt: &later, Error: completion.NewError(completion.CodeCut, "")},
			`{"type":"retrying","seq":3,"attempt":1,"at":"2026-01-02T02:04:05.678Z","retry_at":"2026-01-02T02:04:06.678Z","error":{"code":"upstream_cut","message":"The upstream's stream ended before the answer did.","retryable":true}}`,
		},
		"completed": {
			completion.Event{Type: completion.EventCompleted, Seq: 4, Attempt: 2, At: at, Result: []byte(`{"id":"c"}`), Usage: []byte(`{"total_tokens":3}`), FinishReason: "stop"},
			`{"type":"completed","seq":4,"attempt":2,"at":"2026-01-02T02:04:05.678Z","result":{"id":"c"},"usage":{"total_tokens":3},"finish_reason":"stop"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.event.Encode()
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
			back, err := completion.Record{Data: got}.Event()
			require.NoError(t, err)
			again, err := back.Encode()
			require.NoError(t, err)
			require.Equal(t, c.want, string(again), "decoding loses nothing")
		})
	}
}

func TestEvent_Encode_LeavesOutLargeResult(t *testing.T) {
	t.Parallel()
	e := completion.Event{Type: completion.EventCompleted, Seq: 9, Result: []byte(`"` + strings.Repeat("x", completion.MaxEventBytes) + `"`), Usage: []byte(`{}`)}
	got, err := e.Encode()
	require.NoError(t, err)
	require.Less(t, len(got), completion.MaxEventBytes)
	require.NotContains(t, string(got), "result")
	require.Contains(t, string(got), `"usage":{}`)
	require.NotEmpty(t, e.Result, "the event itself is left as it was")
}

func TestAsError(t *testing.T) {
	t.Parallel()
	require.Equal(t, completion.CodeNotFound, completion.AsError(completion.ErrNotFound).Code)
	require.Equal(t, completion.CodeKeyConflict, completion.AsError(completion.ErrConflict).Code)
	own := completion.Invalid("lane", "unknown lane %q", "x")
	require.Same(t, own, completion.AsError(own))
	internal := completion.AsError(context())
	require.Equal(t, completion.CodeInternal, internal.Code)
	require.NotContains(t, internal.Message, "secret", "an internal text never reaches a client")
}

func context() error { return json.Unmarshal([]byte("secret"), &struct{}{}) }
