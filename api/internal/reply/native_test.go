package reply

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// The events of an upstream that speaks Responses itself; id tells its attempts apart.

func opens(id string) string {
	return `{"type":"response.created","sequence_number":0,"response":{"id":"resp_` + id + `","object":"response","created_at":1,"status":"in_progress","model":"m-2026","service_tier":"default","temperature":0.7,"instructions":null,"tools":[{"type":"web_search"}],"output":[],"usage":null,"content_filters":[1]}}`
}

func searched(id string) []string {
	const at = `"output_index":0`
	item := func(status string) string {
		return `"item":{"id":"ws_` + id + `","type":"web_search_call","status":"` + status + `","action":{"type":"search","query":"q"}}`
	}
	return []string{
		`{"type":"response.output_item.added","sequence_number":2,` + at + `,` + item("in_progress") + `}`,
		`{"sequence_number":3,"type":"response.web_search_call.searching",` + at + `,"item_id":"ws_` + id + `"}`,
		`{"type":"response.output_item.done","sequence_number":4,` + at + `,` + item("completed") + `}`,
	}
}

// says is a message in deltas, without its end.
func says(id string, at int, deltas ...string) []string {
	place := fmt.Sprintf(`"item_id":"msg_%s","output_index":%d,"content_index":0`, id, at)
	list := []string{
		fmt.Sprintf(`{"type":"response.output_item.added","output_index":%d,"item":{"id":"msg_%s","type":"message","status":"in_progress","content":[],"role":"assistant"}}`, at, id),
		`{"type":"response.content_part.added",` + place + `,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}`,
	}
	for _, d := range deltas {
		list = append(list, `{"type":"response.output_text.delta",`+place+`,"delta":"`+d+`","logprobs":[],"obfuscation":"abc"}`)
	}
	return list
}

// said is the end of that message.
func said(id string, at int, text string) []string {
	place := fmt.Sprintf(`"item_id":"msg_%s","output_index":%d,"content_index":0`, id, at)
	part := `{"type":"output_text","annotations":[],"logprobs":[],"text":"` + text + `"}`
	return []string{
		`{"type":"response.output_text.done",` + place + `,"text":"` + text + `","logprobs":[]}`,
		`{"type":"response.content_part.done",` + place + `,"part":` + part + `}`,
		fmt.Sprintf(`{"type":"response.output_item.done","output_index":%d,"item":{"id":"msg_%s","type":"message","status":"completed","content":[%s],"role":"assistant"}}`, at, id, part),
	}
}

func ends(status, more string) string {
	return `{"type":"response.` + status + `","response":{"object":"response","status":"` + status + `",` + more + `"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":5}}}`
}

// events says events, each in its own record.
func (p *play) events(events ...string) *play {
	for _, e := range events {
		p.chunk(e).flush()
	}
	return p
}

func nativePlays(t testing.TB) map[string]*play {
	const ask = `{"model":"m","input":"hi","instructions":"be","metadata":{"a":"b"},"tools":[{"type":"web_search"},{"type":"mcp","server_url":"u","authorization":"secret","headers":{"k":"secret"}}]}`
	plain := func() *play { return newPlay(t, `{"model":"m","input":"hi"}`) }
	whole := func(p *play, id string) *play {
		return p.events(opens(id)).events(says(id, 0, "Go", "od")...).events(said(id, 0, "Good")...).events(ends("completed", "")).end(completion.Completed)
	}
	cutOff := func() *play { return plain().start().events(opens("a")).events(says("a", 0, "Go")...) }
	all := newPlay(t, ask).start().events(opens("a")).events(searched("a")...).events(says("a", 1, "Hi ", `\ud83d\ude00`)...).events(said("a", 1, `Hi \ud83d\ude00`)...)
	return map[string]*play{
		"native":            all.events(ends("completed", "")).end(completion.Completed),
		"native_background": whole(newPlay(t, `{"model":"m","input":"hi","background":true}`).start(), "a"),
		"native_incomplete": plain().start().events(opens("a")).events(says("a", 0, "Hi")...).events(said("a", 0, "Hi")...).events(ends("incomplete", `"incomplete_details":{"reason":"max_tool_calls"},`)).end(completion.Completed),
		"native_cancelled":  cutOff().end(completion.Cancelled),
		"native_failed":     cutOff().end(completion.Failed),
		"native_retried":    whole(plain().start().events(opens("a")).retrying().start(), "b"),
		"native_another":    whole(cutOff().retrying().start(), "b"),
		"native_gave_up":    cutOff().retrying().start().events(opens("b")).end(completion.Failed),
		"native_whole":      plain().start().events(ends("completed", `"output":[{"id":"msg_a","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"Hi"}],"role":"assistant"}],`)).end(completion.Completed),
		"native_then_chat":  cutOff().retrying().start().delta(content("Hi"), finish("stop")).end(completion.Completed),
		"chat_then_native":  whole(plain().start().delta(content("Go")).retrying().start(), "b"),
	}
}

// TestStream_Native shows that what the upstream says arrives, but for its number, padding and its own view of the response.
func TestStream_Native(t *testing.T) {
	t.Parallel()
	p := nativePlays(t)["native"]
	events := p.all()
	require.JSONEq(t, `{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"ws_a","type":"web_search_call","status":"in_progress","action":{"type":"search","query":"q"}}}`, string(events[2].Data))
	require.JSONEq(t, `{"type":"response.web_search_call.searching","sequence_number":3,"output_index":0,"item_id":"ws_a"}`, string(events[3].Data))
	require.JSONEq(t, `{"type":"response.output_text.delta","sequence_number":7,"item_id":"msg_a","output_index":1,"content_index":0,"delta":"Hi ","logprobs":[]}`, string(events[7].Data))
	padded := p.watch(View{After: 6, Obfuscation: true}, 0)
	require.NotEmpty(t, gjson.GetBytes(padded[0].Data, "obfuscation").Str)
	require.NotEqual(t, "abc", gjson.GetBytes(padded[0].Data, "obfuscation").Str)

	r := gjson.GetBytes(events[len(events)-1].Data, "response")
	require.Equal(t, completion.Alias(Prefix, testID), r.Get("id").Str)
	require.Equal(t, p.job.CreatedAt.Unix(), r.Get("created_at").Int())
	require.Equal(t, "m-2026", r.Get("model").Str, "what the upstream knows better")
	require.Equal(t, "0.7", r.Get("temperature").Raw)
	require.Equal(t, "[1]", r.Get("content_filters").Raw)
	require.JSONEq(t, `{"a":"b"}`, r.Get("metadata").Raw)
	require.Equal(t, "be", r.Get("instructions").Str)
	require.JSONEq(t, `[{"type":"web_search"},{"type":"mcp","server_url":"u"}]`, r.Get("tools").Raw)
	require.JSONEq(t, `{"input_tokens":3,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":1},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":5}`, r.Get("usage").Raw)
	require.Len(t, Output(p.job), 2)

	r = gjson.ParseBytes(Object(nativePlays(t)["native_incomplete"].job))
	require.Equal(t, `"incomplete"{"reason":"max_tool_calls"}`, r.Get("status").Raw+r.Get("incomplete_details").Raw)
}

// TestStream_NativeFragments has an event that travels in pieces, also over several records.
func TestStream_NativeFragments(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("large ", 50_000)
	p := newPlay(t, `{"model":"m","input":"hi"}`).start().events(opens("a")).events(says("a", 0, text)...).events(said("a", 0, text)...).events(ends("completed", ""))
	p.job.State, p.job.Result, p.job.FinishReason = completion.Completed, p.answer.Completion(), "stop"
	cut := newPlay(t, string(p.job.Request))
	for _, r := range p.records {
		e, err := r.Event()
		require.NoError(t, err)
		if e.Type == completion.EventStarted {
			cut.start()
		}
		for _, c := range e.Chunks {
			for _, piece := range answer.Split(c) {
				cut.add(completion.Event{Type: completion.EventDelta, Chunks: []json.RawMessage{piece}})
			}
		}
	}
	require.Greater(t, len(cut.records), len(p.records))
	require.Equal(t, p.all(), cut.all())
}

// TestStream_NativeLostLog has the result say what the log has lost.
func TestStream_NativeLostLog(t *testing.T) {
	t.Parallel()
	whole := nativePlays(t)["native"]
	p := *whole
	for _, n := range []int{1, len(p.records) - 1} {
		p.records = whole.records[n:]
		events := p.watch(View{After: -1}, 0)
		f := newFold(t)
		for i, e := range events {
			require.Equal(t, int64(i), e.Number)
			f.add(e)
		}
		f.same(p.job)
		require.Len(t, p.watch(View{After: 7}, len(p.records)), 1)
	}
}

// TestStream_NativeBegunAnew watches while the log is said again, after it lost its data: who has heard some of it is told to
// get the response, others see it all.
func TestStream_NativeBegunAnew(t *testing.T) {
	t.Parallel()
	p := nativePlays(t)["native_another"]
	live := p.watch(View{After: -1}, 0)
	require.JSONEq(t, `"stream_diverged"`, gjson.GetBytes(live[len(live)-1].Data, "code").Raw)
	late := p.all()
	require.Equal(t, "response.completed", late[len(late)-1].Type)
	require.Equal(t, live[len(live)-1].Number+1, late[0].Number)

	said := nativePlays(t)["native_background"]
	said.records = said.records[:len(said.records)-1]
	said.seq--
	said.start() // the log is sealed by somebody who says the result again
	said.add(completion.Event{Type: completion.EventDelta, Chunks: answer.Restate(said.job.Result)})
	said.add(said.job.FinalEvent())
	agrees(t, said)
}
