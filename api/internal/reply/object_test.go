package reply

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// TestObject_Golden shows one response with all that a request may say, and one with nothing of it.
func TestObject_Golden(t *testing.T) {
	t.Parallel()
	const all = `{"model":"m","input":"x","background":true,"instructions":"be","max_output_tokens":100,"max_tool_calls":3,"metadata":{"a":"<b>"},
		"parallel_tool_calls":false,"previous_response_id":"resp_1","prompt_cache_key":"k","prompt_cache_retention":"24h","reasoning":{"effort":"low","summary":"auto"},
		"safety_identifier":"s","service_tier":"flex","store":true,"temperature":0.50,"text":{"format":{"type":"json_object"},"verbosity":"low"},
		"tool_choice":{"type":"function","name":"f"},"tools":[{"type":"function","name":"f"},{"type":"custom","name":"c"}],"top_logprobs":2,"top_p":0.9,
		"truncation":"auto","user":"u"}`
	for name, p := range map[string]*play{
		"object_all": newPlay(t, all).start().delta(`"delta":{"reasoning":"r"}`, content("a")).delta(finish("stop")).
			chunk(`{"choices":[],"service_tier":"default","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":1}}}`).
			end(completion.Completed),
		"object_plain": newPlay(t, `{"model":"m","input":"x"}`),
	} {
		got := append(Object(p.job), '\n')
		file := filepath.Join("testdata", name+".json")
		if *update {
			require.NoError(t, os.WriteFile(file, got, 0o600))
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
}

func TestObject_States(t *testing.T) {
	t.Parallel()
	const result = `{"choices":[{"index":0,"message":{"role":"assistant","content":"part","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}}]}`
	for _, c := range []struct {
		job                   completion.Job
		status, reason, error string
		last                  string // status of the last item
	}{
		{completion.Job{State: completion.Queued}, "queued", "", "", ""},
		{completion.Job{State: completion.Running}, "in_progress", "", "", ""},
		{completion.Job{State: completion.Completed, FinishReason: "stop"}, "completed", "", "", "completed"},
		{completion.Job{State: completion.Completed, FinishReason: "tool_calls"}, "completed", "", "", "completed"},
		{completion.Job{State: completion.Completed, FinishReason: "length"}, "incomplete", "max_output_tokens", "", "incomplete"},
		{completion.Job{State: completion.Completed, FinishReason: "content_filter"}, "incomplete", "content_filter", "", "incomplete"},
		{completion.Job{State: completion.Cancelled, Error: completion.NewError(completion.CodeCancelled, "")}, "cancelled", "", "", "in_progress"},
		{completion.Job{State: completion.Expired, Error: completion.NewError(completion.CodeExpired, "")}, "failed", "", "server_error", "incomplete"},
		{completion.Job{State: completion.Failed, Error: completion.NewError(completion.CodeRateLimited, "")}, "failed", "", "rate_limit_exceeded", "incomplete"},
		{completion.Job{State: completion.Failed, Error: completion.NewError(completion.CodeUpstreamRejected, "")}, "failed", "", "invalid_prompt", "incomplete"},
		{completion.Job{State: completion.Failed}, "failed", "", "server_error", "incomplete"},
	} {
		c.job.ID, c.job.Request, c.job.CreatedAt = testID, json.RawMessage(`{}`), time.Unix(7, 0)
		c.job.Result = json.RawMessage(result)
		o := gjson.ParseBytes(Object(c.job))
		require.Equal(t, c.status, o.Get("status").Str)
		require.Equal(t, c.reason, o.Get("incomplete_details.reason").Str, c.status)
		require.Equal(t, c.error, o.Get("error.code").Str, c.status)
		require.Equal(t, c.status == "completed", o.Get("completed_at").Type == gjson.Number)
		items := o.Get("output").Array()
		if c.last == "" {
			require.Empty(t, items)
			continue
		}
		require.Len(t, items, 2)
		require.Equal(t, "completed", items[0].Get("status").Str)
		require.Equal(t, c.last, items[1].Get("status").Str)
	}
}

// TestOutput_Upstreams are shapes that some upstreams send.
func TestOutput_Upstreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ message, output string }{
		"ContentParts":      {`{"content":[{"type":"text","text":"a"},{"type":"text","text":"\u0062"}]}`, `a\u0062`},
		"EmptyAndNull":      {`{"content":"","reasoning_content":null,"tool_calls":null}`, ``},
		"ArgumentsAsObject": {`{"content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":{"a":"<"}}}]}`, `{\"a\":\"<\"}`},
	} {
		job := completion.Job{ID: testID, State: completion.Completed, Result: json.RawMessage(`{"choices":[{"index":0,"message":` + c.message + `}]}`)}
		items := Output(job)
		require.Len(t, items, 1, name)
		v := gjson.ParseBytes(items[0])
		require.Equal(t, c.output, inner(v.Get("content.0.text"))+inner(v.Get("arguments")), name)
	}
}
