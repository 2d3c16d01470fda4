package answer

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

const (
	rs  = `{"id":"rs_1","type":"reasoning","encrypted_content":"gAAA=","summary":[{"type":"summary_text","text":"Th\u00e9"}]}`
	ws  = `{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"q","sources":[{"index":0},{"index":0}]}}`
	msg = `{"id":"msg_1", "type":"message","status":"completed","content":[{"type":"output_text","annotations":[{"type":"file_citation","index":3},{"type":"file_citation","index":3}],"logprobs":[{"token":"a","logprob":-0.10}],"text":"Hi \ud83d\ude00"}],"role":"assistant"}`
	fc  = `{"id":"fc_1","type":"function_call","status":"completed","arguments":"{\"a\":1}","call_id":"call_1","name":"f"}`
)

// story is what an upstream says, in lines; each is an event without its number.
func story() []string {
	return []string{
		`{"type":"response.created","response":{"id":"resp_up","object":"response","created_at":5,"status":"in_progress","error":null,"instructions":"be","model":"m-1","tools":[{"type":"web_search"}],"output":[],"metadata":{},"usage":null}}`,
		`{"type":"response.in_progress","response":{"id":"resp_up","object":"response","created_at":5,"status":"in_progress","error":null,"model":"m-1","output":[],"usage":null}}`,
		`{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}`,
		`{"type":"response.reasoning_summary_part.added","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}`,
		`{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Th"}`,
		`{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"\u00e9"}`,
		`{"type":"response.reasoning_summary_text.done","item_id":"rs_1","output_index":0,"summary_index":0,"text":"Th\u00e9"}`,
		`{"type":"response.reasoning_summary_part.done","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"Th\u00e9"}}`,
		`{"type":"response.output_item.done","output_index":0,"item":` + rs + `}`,
		`{"type":"response.output_item.added","output_index":1,"item":{"id":"ws_1","type":"web_search_call","status":"in_progress"}}`,
		`{"type":"response.web_search_call.searching","item_id":"ws_1","output_index":1}`,
		`{"type":"response.web_search_call.completed","item_id":"ws_1","output_index":1}`,
		`{"type":"response.output_item.done","output_index":1,"item":` + ws + `}`,
		`{"type":"response.output_item.added","output_index":2,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[],"role":"assistant"}}`,
		`{"type":"response.content_part.added","item_id":"msg_1","output_index":2,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}`,
		`{"type":"response.output_text.delta","item_id":"msg_1","output_index":2,"content_index":0,"delta":"Hi \ud83d","logprobs":[{"token":"a","logprob":-0.10}],"obfuscation":"xxxx"}`,
		`{"type":"response.output_text.delta","item_id":"msg_1","output_index":2,"content_index":0,"delta":"\ude00","logprobs":[]}`,
		`{"type":"response.output_text.annotation.added","item_id":"msg_1","output_index":2,"content_index":0,"annotation_index":0,"annotation":{"type":"file_citation","index":3}}`,
		`{"type":"response.output_text.annotation.added","item_id":"msg_1","output_index":2,"content_index":0,"annotation_index":1,"annotation":{"type":"file_citation","index":3}}`,
		`{"type":"response.output_text.done","item_id":"msg_1","output_index":2,"content_index":0,"text":"Hi \ud83d\ude00","logprobs":[]}`,
		`{"type":"response.output_item.done","output_index":2,"item":` + msg + `}`,
		`{"type":"response.output_item.added","output_index":3,"item":{"id":"fc_1","type":"function_call","status":"in_progress","arguments":"","call_id":"call_1","name":"f"}}`,
		`{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":3,"delta":"{\"a\":"}`,
		`{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":3,"delta":"1}"}`,
		`{"type":"response.function_call_arguments.done","item_id":"fc_1","output_index":3,"name":"f","arguments":"{\"a\":1}"}`,
		`{"type":"response.output_item.done","output_index":3,"item":` + fc + `}`,
		`{"type":"response.completed","response":{"id":"resp_up","object":"response","created_at":5,"completed_at":6,"status":"completed","error":null,"model":"m-1","output":[` +
			rs + `,` + ws + `,` + msg + `,` + fc + `],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}}`,
	}
}

// told folds events and returns what the log has of them.
func told(t testing.TB, events ...string) (*Answer, []json.RawMessage) {
	t.Helper()
	a, log := &Answer{}, []json.RawMessage(nil)
	for _, e := range events {
		slim, err := a.Add(json.RawMessage(e))
		require.NoError(t, err, e)
		if slim != nil {
			require.True(t, json.Valid(slim), "%s", slim)
			log = append(log, slim)
		}
	}
	return a, log
}

func refold(t testing.TB, chunks []json.RawMessage, limit int) *Answer {
	t.Helper()
	a := &Answer{}
	for _, c := range chunks {
		for _, piece := range split(c, limit) {
			require.True(t, json.Valid(piece), "%s", piece)
			_, err := a.Add(piece)
			require.NoError(t, err, "%s", piece)
		}
	}
	return a
}

func TestAnswer_Response(t *testing.T) {
	t.Parallel()
	a, log := told(t, story()...)
	require.JSONEq(t, `{"object":"response","status":"completed","id":"resp_up","created_at":5,"model":"m-1","completed_at":6,
		"output":[`+rs+`,`+ws+`,`+msg+`,`+fc+`],"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}`, string(a.Completion()))
	require.Contains(t, string(a.Completion()), msg, "byte for byte")
	require.True(t, IsResponse(a.Completion()))
	require.Equal(t, "stop", a.FinishReason())
	require.True(t, a.Whole(nil))
	require.JSONEq(t, `{"input_tokens":3,"output_tokens":4,"total_tokens":7}`, string(a.Usage()))
	require.Len(t, log, len(story())-1, "nothing new in response.in_progress")
	require.NotContains(t, string(log[0]), "tools", "the request is not repeated")
	require.NotContains(t, string(log[len(log)-1]), "output\"", "nor is the output")
	for i, slim := range log[1 : len(log)-1] {
		require.Equal(t, strings.Replace(story()[i+2], `,"obfuscation":"xxxx"`, "", 1), string(slim), "all else is as it was")
	}
	_, _, ok := a.Rest(&Answer{})
	require.False(t, ok)
}

// TestAnswer_Response_I4 interrupts the story after every event: what stands then can be cut, and told again.
func TestAnswer_Response_I4(t *testing.T) {
	t.Parallel()
	for n := range len(story()) {
		a, log := told(t, story()[:n+1]...)
		want := string(a.Completion())
		require.True(t, json.Valid(a.Completion()), want)
		for _, limit := range []int{1, 90, 300, 1 << 20} {
			require.Equal(t, want, string(refold(t, log, limit).Completion()), "cut at %d", limit)
		}
		again := refold(t, Restate(a.Completion()), 200)
		require.Equal(t, want, string(again.Completion()))
		require.Equal(t, a.FinishReason(), again.FinishReason())
		require.Equal(t, a.Whole(nil), again.Whole(nil))
		require.Equal(t, n == len(story())-1, a.Whole(nil))
	}
}

func TestAnswer_Response_Interrupted(t *testing.T) {
	t.Parallel()
	a, _ := told(t, story()[:16]...)
	require.Equal(t, "in_progress", gjson.GetBytes(a.Completion(), "status").Str)
	require.Equal(t, `["in_progress"]`, gjson.GetBytes(a.Completion(), `output.#(id=="msg_1")#.status`).Raw)
	require.Equal(t, `"Hi \ud83d"`, gjson.GetBytes(a.Completion(), "output.2.content.0.text").Raw)
	require.Empty(t, a.FinishReason())
	require.JSONEq(t, `{"input_tokens":2,"output_tokens":3,"total_tokens":5,"estimated":true}`, string(a.Estimate(json.RawMessage(`{"input":"123456"}`))))
	early, _ := told(t, story()[:3]...)
	require.JSONEq(t, `{"id":"rs_1","type":"reasoning","summary":[],"status":"in_progress"}`, gjson.GetBytes(early.Completion(), "output.0").Raw)
}

// TestRestate_Response tells a response as an upstream would have.
func TestRestate_Response(t *testing.T) {
	t.Parallel()
	a, _ := told(t, story()...)
	var kinds []string
	texts := map[string]string{}
	for _, c := range Restate(a.Completion()) {
		kind := gjson.GetBytes(c, "type").Str
		kinds = append(kinds, strings.TrimPrefix(kind, "response."))
		if delta := gjson.GetBytes(c, "delta"); delta.Exists() {
			texts[kind] += delta.Raw
		}
		require.NotContains(t, string(c), `"sequence_number"`)
	}
	require.Equal(t, []string{
		"created",
		"output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
		"output_item.added", "output_item.done",
		"output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
		"output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
		"completed",
	}, kinds)
	require.Equal(t, map[string]string{
		"response.reasoning_summary_text.delta": `"Th\u00e9"`, "response.output_text.delta": `"Hi \ud83d\ude00"`, "response.function_call_arguments.delta": `"{\"a\":1}"`,
	}, texts)
}

func TestAnswer_Response_Ends(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{"max_output_tokens": "length", "content_filter": "content_filter", "max_tool_calls": "incomplete"} {
		a, _ := told(t, `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"`+reason+`"},"output":[`+fc+`]}}`)
		require.Equal(t, want, a.FinishReason())
		require.JSONEq(t, `[`+fc+`]`, gjson.GetBytes(a.Completion(), "output").Raw, "the end has what was not said before")
	}
	first := `{"type":"response.output_item.done","output_index":0,"item":` + fc + `}`
	a, log := told(t, first, `{"type":"response.completed","response":{"output":[]}}`)
	require.JSONEq(t, `[`+fc+`]`, gjson.GetBytes(a.Completion(), "output").Raw, "what was said counts if the end has nothing")
	require.Len(t, log, 2)
	a, _ = told(t, first, `{"type":"response.completed","response":{"output":[`+ws+`]}}`)
	require.JSONEq(t, `[`+ws+`]`, gjson.GetBytes(a.Completion(), "output").Raw, "the end has the last word")
}

func TestAnswer_Response_Shape(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`{"choices":[]}`, `[]`, `{"type":"ping"}`, `{"type":"response.output_item.added","output_index":0,"item":5}`} {
		a, _ := told(t, story()[0])
		_, err := a.Add(json.RawMessage(bad))
		require.ErrorIs(t, err, ErrShape, bad)
	}
	a, _ := told(t, story()[0], // what makes no sense is passed on, and is not part of the answer
		`{"type":"response.output_text.delta","output_index":7,"content_index":0,"delta":"x"}`, `{"type":"response.output_text.delta","delta":{}}`,
		`{"type":"response.output_item.added","output_index":0,"item":{}}`, `{"type":"response.content_part.added","content_index":99,"part":{}}`,
		`{"type":"response.content_part.added","content_index":0,"part":5}`, `{"type":"response.output_text.delta","content_index":0,"delta":"x"}`,
		`{"type":"response.new_thing.delta","delta":"x"}`, `{"type":"response."}`)
	require.JSONEq(t, `[{"content":[5],"status":"in_progress"}]`, gjson.GetBytes(a.Completion(), "output").Raw)
}

// TestSplit_Response has an image cut into pieces that travel.
func TestSplit_Response(t *testing.T) {
	t.Parallel()
	image := `{"type":"response.output_item.done","output_index":0,"item":{"id":"ig_1","type":"image_generation_call","status":"completed","result":"` + strings.Repeat("é\\\"", 100<<10) + `"}}`
	pieces := Split(json.RawMessage(image))
	require.Greater(t, len(pieces), 3)
	var f Fragments
	for i, p := range pieces {
		require.LessOrEqual(t, len(p), MaxChunk)
		require.True(t, json.Valid(p) && Native(p))
		event, whole := f.Join(p)
		require.Equal(t, i == len(pieces)-1, whole)
		if whole {
			require.Equal(t, image, string(event))
		}
	}
}

// FuzzResponse_I4 folds events in any order, whole, cut and restated.
func FuzzResponse_I4(f *testing.F) {
	events := story()
	f.Add(strings.Join(events, "\n"), 50)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		some := []string{events[0]}
		for range 12 {
			some = append(some, events[r.IntN(len(events))])
		}
		f.Add(strings.Join(some, "\n"), r.IntN(300))
	}
	f.Add(`{"type":"response.completed","response":{"status" : 5,"object":[],"output":[{ "status":"in_progress","status":"searching"}, 5]}}`, 1)
	f.Add(`{"type":"response.created","response":{"st\u0061tus":"completed","a":1,"a":null}}`, 1)
	f.Add(`{"type":"response.completed","response":{"object":[],"output":[{"status":"searching"}, 5]}}`, 1)
	f.Add("{\"type\":\"response.completed\",\"response\":{\"a\":[{\r\t\"status\":\"in_progress\"}]}}", 1)
	f.Add(`{"type":"response.created","response":{"status":"a","st\u0061tus":"completed"}}`, 1)
	f.Fuzz(func(t *testing.T, lines string, limit int) {
		a, log := &Answer{}, []json.RawMessage(nil)
		for line := range strings.Lines(lines) {
			if !json.Valid([]byte(line)) || repeats(gjson.Parse(line), 0) || !a.Empty() && a.native == nil || a.Empty() && !Native(json.RawMessage(line)) || strings.Contains(line, fragmentType) {
				return
			}
			slim, err := a.Add(json.RawMessage(line))
			if err != nil {
				break
			}
			if slim != nil {
				require.True(t, json.Valid(slim), "%s", slim)
				log = append(log, slim)
			}
		}
		if a.Empty() || len(log) == 0 {
			return
		}
		want := a.Completion()
		require.True(t, json.Valid(want), "%s", want)
		require.Equal(t, string(want), string(refold(t, log, max(limit, 1)).Completion()))
		require.Equal(t, string(want), string(refold(t, Restate(want), max(limit, 1)).Completion()))
	})
}
