package completion_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/testkit/golden"
)

// noon is when all golden samples happen.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

// refusal has every field that an error can have.
var refusal = completion.Error{
	Code: completion.CodeRateLimited, Message: "Slow down.", Retryable: true, UpstreamStatus: 429, UpstreamCode: "rate_limit_exceeded",
	Param: "messages[0].role", RetryAfter: completion.Wait(1500 * time.Millisecond),
}

var (
	answerObject = json.RawMessage(`{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi <you>"},"finish_reason":"stop"}]}`)
	usageObject  = json.RawMessage(`{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}`)
)

func event(kind completion.EventType, seq int64, attempt int, set func(*completion.Event)) completion.Event {
	e := completion.Event{Type: kind, Seq: seq, Attempt: attempt, At: noon}
	set(&e)
	return e
}

// TestGolden_Events are the messages of the event log: other releases' workers and apis read them back, and viewers do.
func TestGolden_Events(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Second)
	batch := json.RawMessage(`{"id":"batch_1","object":"batch","status":"in_progress"}`)
	for name, e := range map[string]completion.Event{
		"started": event(completion.EventStarted, 1, 1, func(e *completion.Event) { e.Model, e.Upstream = "m", "default" }),
		"delta": event(completion.EventDelta, 2, 1, func(e *completion.Event) {
			e.Chunks = []json.RawMessage{json.RawMessage(`{"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi <"}}]}`), json.RawMessage(`{"choices":[{"index":0,"delta":{"content":"you>"}}]}`)}
		}),
		"retrying": event(completion.EventRetrying, 3, 1, func(e *completion.Event) { e.Error, e.RetryAt = &refusal, &later }),
		"storing": event(completion.EventStoring, 4, 2, func(e *completion.Event) {
			e.State, e.Result, e.Usage, e.FinishReason = completion.Completed, answerObject, usageObject, "stop"
		}),
		"completed": event(completion.EventCompleted, 5, 2, func(e *completion.Event) {
			e.Result, e.Usage, e.FinishReason = answerObject, usageObject, "stop"
		}),
		"failed":    event(completion.EventFailed, 5, 2, func(e *completion.Event) { e.Error, e.Partial, e.Usage = &refusal, answerObject, usageObject }),
		"cancelled": event(completion.EventCancelled, 5, 2, func(e *completion.Event) { e.Error, e.Partial = &refusal, answerObject }),
		"expired":   event(completion.EventExpired, 1, 0, func(e *completion.Event) { e.Error = &refusal }),
		"lines": event(completion.EventLines, 2, 0, func(e *completion.Event) {
			e.Lines, e.Batch = []json.RawMessage{json.RawMessage(`{"line":1,"custom_id":"a","response":{"status_code":200}}`)}, batch
		}),
		"progress": event(completion.EventProgress, 3, 0, func(e *completion.Event) { e.Batch = batch }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			written, err := e.Encode()
			require.NoError(t, err)
			golden.Check(t, "event_"+name, written, func(t testing.TB, data []byte) {
				got, err := completion.Record{Data: data}.Event()
				require.NoError(t, err)
				require.Equal(t, e, got)
			})
		})
	}
}

// kept checks a sample that is written and read by encoding/json: columns of the database.
func kept[T any](t *testing.T, name string, sample T) {
	t.Helper()
	written, err := json.Marshal(sample)
	require.NoError(t, err)
	golden.Check(t, name, written, func(t testing.TB, data []byte) {
		var got T
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, sample, got)
	})
}

// TestGolden_Columns are what the store keeps as JSON, for every release that reads the row.
func TestGolden_Columns(t *testing.T) {
	t.Parallel()
	number, whole, seed := 0.5, 7, int64(-1)
	parameters := completion.Parameters{
		Model: "m", Temperature: &number, TopP: &number, PresencePenalty: &number, FrequencyPenalty: &number, Stop: []string{"\n"},
		MaxTokens: &whole, Seed: &seed, ReasoningEffort: "low", ContextMessages: 20, ContextTokens: 5000,
	}
	kept(t, "error", refusal)
	kept(t, "metadata", map[string]string{"team": "a"})
	kept(t, "parameters", parameters)
	kept(t, "preset", completion.Preset{System: "Be brief.", Parameters: parameters})
	kept(t, "limits", completion.Limits{
		SubmitsPerSecond: 0.5, Queued: 1, Running: 2, BodyBytes: 3, Streams: 4, CompletionsPerDay: 5, Completions: 6, OwnerCompletionsPerDay: 7,
	})
	kept(t, "batch_errors", []completion.LineError{{Code: "invalid_json_line", Message: "No JSON.", Param: "body", Line: 3}, {Code: "empty_file", Message: "Nothing."}})
	kept(t, "batch_counts", completion.Counts{Total: 3, Completed: 2, Failed: 1})
	kept(t, "batch_usage", completion.BatchUsage{Input: 1, Cached: 2, Output: 3, Reasoning: 4})
	var told completion.LineSet
	for _, line := range []int{1, 3, 64, 65} {
		told.Add(line)
	}
	kept(t, "batch_told", told)
	for _, line := range []int{1, 3, 64, 65} {
		require.True(t, told.Has(line))
	}
}

// TestGolden_WorkerStatus is what a worker's heartbeat says, which every api shows.
func TestGolden_WorkerStatus(t *testing.T) {
	t.Parallel()
	yield := completion.Yield{Completed: 1, Failed: 2, Cancelled: 3, Expired: 4, Retried: 5, OutputTokens: 6, FirstDelta: completion.Spread{0, 1, 2}}
	kept(t, "worker_status", completion.WorkerStatus{
		Host: "h", Version: "1.0.0", StartedAt: noon, Draining: true,
		Lanes: []completion.LaneStatus{{
			Lane: completion.LaneBatch, Slots: 8, Running: 3, Throttle: &completion.Throttle{Limit: 2, Waiting: 1, Until: noon}, Minute: yield, Quarter: yield,
		}},
		Upstreams: []completion.UpstreamStatus{{Name: "default", State: completion.UpstreamFailing, Running: 1, Calls: 2, Errors: map[completion.Code]int64{completion.CodeCut: 1}}},
	})
}

// TestGolden_Notice is the body of a webhook, and what lies in the database until it is delivered.
func TestGolden_Notice(t *testing.T) {
	t.Parallel()
	n := completion.Notice{ID: "evt_1", Tenant: "acme", Type: "job.completed", Data: json.RawMessage(`{"id":"job_1"}`), At: noon}
	written, err := n.Body()
	require.NoError(t, err)
	golden.Check(t, "notice", written, func(t testing.TB, data []byte) {
		require.JSONEq(t, `{"id":"evt_1","object":"event","type":"job.completed","created_at":1795262400,"data":{"id":"job_1"}}`, string(data))
	})
}

// TestGolden_Batch is the batch of events, which clients read.
func TestGolden_Batch(t *testing.T) {
	t.Parallel()
	b := completion.Batch{
		ID: "batch_1", Tenant: "acme", State: completion.BatchCompleted, Endpoint: completion.EndpointChat, Model: "m", Input: "file_1", Output: "file_2",
		Faults: "file_3", Window: "24h", Metadata: map[string]string{"team": "a"}, Deduplicate: true, RetryOf: "batch_0",
		Errors: []completion.LineError{{Code: "c", Message: "m", Line: 1}}, Counts: completion.Counts{Total: 3, Completed: 2, Failed: 1},
		Usage: completion.BatchUsage{Input: 1, Cached: 2, Output: 3, Reasoning: 4}, Checkpoint: completion.Checkpoint{Seq: 9},
		CreatedAt: noon, Deadline: noon.Add(24 * time.Hour), InProgressAt: noon, FinalizingAt: noon, EndedAt: noon,
	}
	golden.Check(t, "batch", b.Object(), func(t testing.TB, data []byte) { require.NotEmpty(t, data) })
}
