package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// TestPrinter_I3_LedPastAHole: the log has discarded deltas, and the final event says what was in them.
func TestPrinter_I3_LedPastAHole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ said, whole, want string }{
		"nothing seen":  {"", "hello", "hello\n"},
		"all seen":      {"hello", "hello", "hello\n"},
		"end not seen":  {"hel", "hello", "hello\n"},
		"other attempt": {"bye", "hello", "byehello\n"},
		"too large":     {"hel", "", "hel\n"},
	} {
		var out, err bytes.Buffer
		p := printer{t: &terminal{out: &out, err: &err}}
		chunk := `{"choices":[{"index":0,"delta":{"content":"` + c.said + `"}}]}`
		require.NoError(t, p.print(completion.Event{Type: completion.EventStarted, Attempt: 1}))
		require.NoError(t, p.print(completion.Event{Type: completion.EventDelta, Attempt: 1, Chunks: []json.RawMessage{json.RawMessage(chunk)}}))
		require.NoError(t, p.print(completion.Event{Type: completion.EventStoring, Attempt: 1}))
		result := `{"choices":[{"message":{"content":"` + c.whole + `"}}]}`
		require.NoError(t, p.print(completion.Event{Type: completion.EventCompleted, Attempt: 1, Result: json.RawMessage(result)}))
		require.Equal(t, c.want, out.String(), name)
	}
}
