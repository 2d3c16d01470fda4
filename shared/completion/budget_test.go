package completion_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// TestEvent_Encode_Allocations: a delta costs one allocation, its bytes. Allocations beside it would count, so
// it is not parallel.
func TestEvent_Encode_Allocations(t *testing.T) {
	e := completion.Event{
		Type: completion.EventDelta, Seq: 1234, Attempt: 1, At: time.Now(),
		Chunks: []json.RawMessage{json.RawMessage(`{"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}`)},
	}
	require.InDelta(t, 1, testing.AllocsPerRun(1000, func() {
		if _, err := e.Encode(); err != nil {
			t.Fatal(err)
		}
	}), 0)
}
