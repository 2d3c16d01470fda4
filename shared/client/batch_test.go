package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// TestBatch_ReadsTheObject reads what the domain writes.
func TestBatch_ReadsTheObject(t *testing.T) {
	t.Parallel()
	at := time.Unix(1763731200, 0)
	for name, b := range map[string]completion.Batch{
		"new": {ID: "batch_1", Tenant: "local", State: completion.BatchValidating, Endpoint: completion.EndpointChat, Input: "file-1", Window: "24h", CreatedAt: at},
		"done": {
			ID: "batch_1", Tenant: "local", State: completion.BatchCompleted, Endpoint: completion.EndpointChat, Model: "sim", Input: "file-1", Output: "file-2", Faults: "file-3",
			Window: "24h", CreatedAt: at, Deadline: at, InProgressAt: at, FinalizingAt: at, EndedAt: at, Metadata: map[string]string{"a": "b"}, Paused: true, Deduplicate: true,
			RetryOf: "batch_0", Counts: completion.Counts{Total: 3, Completed: 2, Failed: 1}, Usage: completion.BatchUsage{Input: 5, Cached: 1, Output: 7, Reasoning: 2},
			Errors: []completion.LineError{{Code: "c", Message: "m", Param: "p", Line: 2}, {Code: "empty", Message: "nothing"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s", b.Object()) })
			got, err := c.Batch(t.Context(), "batch_1")
			require.NoError(t, err)
			require.Equal(t, b.Errors, got.Errors.Data)
			u := got.Usage
			require.Equal(t, b.Usage, completion.BatchUsage{Input: u.Input, Cached: u.InputDetails.Cached, Output: u.Output, Reasoning: u.OutputDetails.Reasoning}) //nolint:testifylint // the domain's is what is expected
			require.Equal(t, b.Usage.Input+b.Usage.Output, u.Total)
			require.Equal(t, b.Counts, got.Counts)
			wrote, err := json.Marshal(got)
			require.NoError(t, err)
			require.Subset(t, members(t, b.Object()), members(t, wrote), "what is there is shown again, and nothing else")
		})
	}
}

// members are an object's members that say something.
func members(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw, &all))
	named := map[string]string{}
	for name, value := range all {
		if name != "errors" {
			named[name] = string(value)
		}
	}
	return named
}

func TestCreateBatch(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]any{"id": r.Method + " " + r.URL.Path, "retry_of": r.Header.Get("Idempotency-Key"), "subject": string(body)})
	})
	b, err := c.CreateBatch(t.Context(), BatchCreation{InputFileID: "file-1", Endpoint: completion.EndpointChat, Window: "24h"})
	require.NoError(t, err)
	require.Empty(t, b.RetryOf, "no key")
	require.JSONEq(t, `{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}`, b.Subject)
	b, err = c.CreateBatch(t.Context(), BatchCreation{
		InputFileID: "file-1", Endpoint: completion.EndpointEmbeddings, Window: "7d", Metadata: map[string]string{"a": "b"}, Deduplicate: true, OutputAge: 2 * time.Hour, Key: "k",
	})
	require.NoError(t, err)
	require.Equal(t, "POST /v1/batches", b.ID)
	require.Equal(t, "k", b.RetryOf)
	require.JSONEq(t, `{"input_file_id":"file-1","endpoint":"/v1/embeddings","completion_window":"7d","metadata":{"a":"b"},"deduplicate":true,
		"output_expires_after":{"anchor":"created_at","seconds":7200}}`, b.Subject)
}

func TestBatches(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") == "" && strings.HasSuffix(r.URL.Path, "/retry") {
			w.Header().Set("Idempotent-Replayed", "true")
		}
		fmt.Fprintf(w, `{"data":[{"id":%q}],"has_more":true,"id":%q}`, r.URL.RawQuery, r.Method+" "+r.URL.Path)
	})
	all, more, err := c.Batches(t.Context(), BatchQuery{Limit: 5, After: "batch_0"})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, []Batch{{ID: "after=batch_0&limit=5"}}, all)
	for act, do := range map[string]func() (Batch, error){
		"cancel": func() (Batch, error) { return c.CancelBatch(t.Context(), "batch_1") },
		"pause":  func() (Batch, error) { return c.PauseBatch(t.Context(), "batch_1") },
		"resume": func() (Batch, error) { return c.ResumeBatch(t.Context(), "batch_1") },
	} {
		b, err := do()
		require.NoError(t, err)
		require.Equal(t, "POST /v1/batches/batch_1/"+act, b.ID)
	}
	b, created, err := c.RetryBatch(t.Context(), "batch_1")
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, "POST /v1/batches/batch_1/retry", b.ID)
}

func TestList_LinesOfABatch(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"data":[{"id":%q,"batch":"batch_1","line":2,"custom_id":"b"}]}`, r.URL.RawQuery)
	})
	jobs, more, err := c.List(t.Context(), Query{Batch: "batch_1", State: completion.Failed, Oldest: true})
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, []Job{{ID: "batch=batch_1&order=asc&state=failed", Batch: "batch_1", Line: 2, CustomID: "b"}}, jobs)
}

func TestFollowBatch_ResumesAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	var resumed [3]string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1) - 1
		resumed[n] = r.URL.Path + " " + r.Header.Get("Last-Event-Id")
		switch n {
		case 0:
			fmt.Fprint(w, event(1, "started"), event(2, "lines"), "event: reconnect\ndata: {\"after\":2}\n\n")
		case 1:
			fmt.Fprint(w, event(2, "lines"), event(3, "progress"), "id: 4\nevent: lines\ndata: {\"lines\":[") // cut inside an event
		default:
			fmt.Fprint(w, event(4, "lines"), event(5, "completed"))
		}
	})
	var types []completion.EventType
	for e, err := range c.FollowBatch(t.Context(), "batch_1", 0) {
		require.NoError(t, err)
		types = append(types, e.Type)
	}
	require.Equal(t, []completion.EventType{"started", "lines", "progress", "lines", "completed"}, types, "I3: each once, in order, to the final one")
	require.Equal(t, [3]string{"/v1/batches/batch_1/events 0", "/v1/batches/batch_1/events 2", "/v1/batches/batch_1/events 3"}, resumed)
}

func TestBatchResults(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") != "7" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"line":8,"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"request_id":"req_1","body":{"x":1}},"error":null}`, "\n",
			`{"line":9,"custom_id":"b","response":{"status_code":400,"body":{"error":{"message":"Bad.","param":"n","code":"invalid"}}},"error":null}`, "\n",
			`{"line":11,"custom_id":"c","response":null,"error":{"code":"batch_expired","message":"Late."},"new":0}`, "\n", `{"line":12`)
	})
	var lines []BatchLine
	var failures []string
	var last error
	for l, err := range c.BatchResults(t.Context(), "batch_1", 7) {
		if last = err; err == nil {
			lines = append(lines, l)
			failures = append(failures, fmt.Sprint(l.Failure()))
		}
	}
	require.ErrorContains(t, last, "read results of batch_1: unexpected EOF")
	require.Len(t, lines, 3)
	require.Equal(t, BatchLine{Line: 8, ID: "batch_req_1", CustomID: "a", Response: &LineResponse{Status: 200, RequestID: "req_1", Body: json.RawMessage(`{"x":1}`)}}, lines[0])
	require.Equal(t, []string{"<nil>", "Bad. (n) [400 invalid]", "Late. [batch_expired]"}, failures)
	for range c.BatchResults(t.Context(), "batch_1", 7) {
		break // the connection is freed
	}
	for _, err := range c.BatchResults(t.Context(), "batch_1", 1) {
		require.EqualError(t, err, "the server answered 404 Not Found [404 ]")
	}
}

func TestBatchCredential(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/batches/batch_1/credential" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"message":"No such batch.","param":null,"code":"not_found"}}`)
			return
		}
		fmt.Fprint(w, `{"subject":"completions.local.batch_1","websocket_url":"ws://127.0.0.1:1","credential":"c","expires_at":"2026-01-01T00:00:00Z"}`)
	})
	got, err := c.BatchCredential(t.Context(), "batch_1")
	require.NoError(t, err)
	require.Equal(t, Credential{
		Subject: "completions.local.batch_1",
		Stream:  Stream{WebSocketURL: "ws://127.0.0.1:1", Credential: "c", ExpiresAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	}, got)
	for _, err := range c.ViewBatch(t.Context(), "batch_2", 0) {
		require.EqualError(t, err, "No such batch. [404 not_found]", "no credential, no events")
	}
}
