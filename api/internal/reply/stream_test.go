package reply

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const testID = "job_0198c0de00007000800000000000beef"

// play is the log of a job under construction.
type play struct {
	t       testing.TB
	job     completion.Job
	records []completion.Record
	answer  answer.Answer
	pending []json.RawMessage
	seq     int64
}

func newPlay(t testing.TB, request string) *play {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &play{t: t, job: completion.Job{
		ID: testID, Tenant: "acme", State: completion.Running, Model: "m", Request: json.RawMessage(request), CreatedAt: at, FinishedAt: at.Add(time.Minute),
	}}
}

func (p *play) add(e completion.Event) {
	p.seq++
	e.Seq, e.Attempt, e.At = p.seq, p.job.Attempt, p.job.FinishedAt
	data, err := e.Encode()
	require.NoError(p.t, err)
	p.records = append(p.records, completion.Record{Seq: e.Seq, Attempt: e.Attempt, Type: e.Type, Data: data})
}

// start begins an attempt.
func (p *play) start() *play {
	p.flush()
	p.job.Attempt++
	p.answer = answer.Answer{}
	p.add(completion.Event{Type: completion.EventStarted, Model: "m"})
	return p
}

// delta says chunks whose choice holds what is given, all in one record.
func (p *play) delta(choices ...string) *play {
	for _, c := range choices {
		p.chunk(`{"choices":[{"index":0,` + c + `}]}`)
	}
	return p.flush()
}

func (p *play) chunk(chunk string) *play {
	slim, err := p.answer.Add(json.RawMessage(chunk))
	require.NoError(p.t, err)
	if slim != nil {
		p.pending = append(p.pending, slim)
	}
	return p
}

func (p *play) flush() *play {
	if len(p.pending) > 0 {
		p.add(completion.Event{Type: completion.EventDelta, Chunks: p.pending})
		p.pending = nil
	}
	return p
}

func (p *play) retrying() *play {
	p.flush()
	p.add(completion.Event{Type: completion.EventRetrying, Error: completion.NewError(completion.CodeCut, "")})
	return p
}

// end closes the log with the answer as it stands.
func (p *play) end(state completion.State) *play {
	p.flush()
	p.job.State, p.job.Result, p.job.Usage, p.job.FinishReason = state, p.answer.Completion(), p.answer.Usage(), p.answer.FinishReason()
	switch state {
	case completion.Failed:
		p.job.Error = completion.NewError(completion.CodeCut, "")
	case completion.Cancelled:
		p.job.Error = completion.NewError(completion.CodeCancelled, "")
	}
	p.add(p.job.FinalEvent())
	return p
}

func content(text string) string { return `"delta":{"content":"` + text + `"}` }
func finish(reason string) string {
	return `"delta":{},"finish_reason":"` + reason + `"`
}

// past yields records, all at once.
func past(records []completion.Record) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// watch is what a viewer sees who comes when the log has n records.
func (p *play) watch(view View, n int) []Event {
	p.t.Helper()
	s, err := Join(p.t.Context(), p.job, view, past(p.records[:n]))
	require.NoError(p.t, err)
	events := s.Open()
	for _, r := range p.records {
		more, err := s.Add(p.t.Context(), r)
		require.NoError(p.t, err)
		events = append(events, more...)
	}
	return events
}

func (p *play) all() []Event { return p.watch(View{After: -1}, len(p.records)) }

const oneTool = `"tools":[{"type":"function","name":"f","parameters":{}}]`

// plays are whole stories; TestStream_Golden has them on file.
func plays(t testing.TB) map[string]*play {
	const ask = `{"model":"m","input":"hi"}`
	all := map[string]*play{
		"text": newPlay(t, ask).start().delta(`"delta":{"role":"assistant","content":""}`).delta(content("He"), content(`llo <\u00e9>`)).delta(finish("stop")).
			chunk(`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}}`).end(completion.Completed),
		"background": newPlay(t, `{"model":"m","input":"hi","background":true}`).start().delta(content("Hi")).delta(finish("stop")).end(completion.Completed),
		"empty":      newPlay(t, ask).start().delta(finish("stop")).end(completion.Completed),
		"length":     newPlay(t, ask).start().delta(content("Hi")).delta(finish("length")).end(completion.Completed),
		"filtered":   newPlay(t, ask).start().delta(content("Hi")).delta(finish("content_filter")).end(completion.Completed),
		"refusal":    newPlay(t, ask).start().delta(`"delta":{"refusal":"No"}`, `"delta":{"refusal":"pe"}`).delta(finish("stop")).end(completion.Completed),
		"reasoning": newPlay(t, ask).start().delta(`"delta":{"reasoning_content":"Th"}`, `"delta":{"reasoning_content":"ink"}`).delta(content("A")).
			delta(finish("stop")).end(completion.Completed),
		"tools": newPlay(t, `{"model":"m","input":"hi",`+oneTool+`}`).start().delta(content("Wait")).
			delta(`"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}`).
			delta(`"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}`, `"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`).
			delta(`"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"custom","custom":{"name":"g","input":"x"}}]}`).delta(finish("tool_calls")).end(completion.Completed),
		"interleaved": newPlay(t, ask).start().delta(content("a"), `"delta":{"reasoning":"b"}`, content("c"), `"delta":{"reasoning":"d"}`).
			delta(finish("stop")).end(completion.Completed),
		"logprobs": newPlay(t, ask).start().delta(content("a") + `,"logprobs":{"content":[{"token":"a","logprob":-0.10,"bytes":[97],"top_logprobs":[]}]}`).
			delta(content("b") + `,"logprobs":{"content":[{"token":"b","logprob":-1,"bytes":null,"top_logprobs":[]}]}`).delta(finish("stop")).end(completion.Completed),
		"failed":       newPlay(t, ask).start().delta(content("Hi")).end(completion.Failed),
		"cancelled":    newPlay(t, ask).start().delta(content("Hi")).end(completion.Cancelled),
		"never":        newPlay(t, `{"model":"m","input":"hi","background":true}`).end(completion.Cancelled),
		"retried":      newPlay(t, ask).start().delta(content("Hel")).retrying().start().delta(content("H"), content("ello")).delta(content("!"), finish("stop")).end(completion.Completed),
		"gave_up":      newPlay(t, ask).start().delta(content("Hel")).retrying().start().end(completion.Failed),
		"another":      newPlay(t, ask).start().delta(content("Hel")).retrying().start().delta(content("Good")).delta(content("bye"), finish("stop")).end(completion.Completed),
		"shorter":      newPlay(t, ask).start().delta(content("Hello")).retrying().start().delta(content("Hell"), finish("stop")).end(completion.Completed),
		"another_call": anotherCall(t),
	}
	maps.Copy(all, nativePlays(t))
	return all
}

// anotherCall calls a tool again under another id, which is another call.
func anotherCall(t testing.TB) *play {
	call := func(id string) string {
		return `"delta":{"tool_calls":[{"index":0,"id":"` + id + `","type":"function","function":{"name":"f","arguments":"{}"}}]}`
	}
	return newPlay(t, `{"model":"m","input":"hi",`+oneTool+`}`).start().delta(call("call_1")).retrying().start().delta(call("call_2"), finish("tool_calls")).end(completion.Completed)
}

func TestStream_Golden(t *testing.T) {
	t.Parallel()
	for name, p := range plays(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			for _, e := range p.watch(View{After: -1}, 0) {
				fmt.Fprintf(&b, "%s\n", e.Data)
			}
			file := filepath.Join("testdata", name+".jsonl")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), b.String())
		})
	}
}

// TestStream_I4 reads each stream as the SDKs do and compares with the response.
func TestStream_I4(t *testing.T) {
	t.Parallel()
	for name, p := range plays(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			agrees(t, p)
		})
	}
}

// agrees checks the promises about a whole log.
func agrees(t testing.TB, p *play) {
	t.Helper()
	events := p.all()
	last := events[len(events)-1]
	require.Equal(t, created, events[0].Type)
	require.JSONEq(t, string(Object(p.job)), gjson.GetBytes(last.Data, "response").Raw)
	folded := newFold(t)
	for i, e := range events {
		require.Equal(t, events[0].Number+int64(i), e.Number, "gapless")
		require.Equal(t, e.Number, gjson.GetBytes(e.Data, "sequence_number").Int())
		require.Equal(t, e.Type, gjson.GetBytes(e.Data, "type").Str)
		require.True(t, json.Valid(e.Data))
		folded.add(e)
	}
	if p.job.State == completion.Completed {
		folded.same(p.job)
	}
	for i, e := range events {
		require.Equal(t, events[i+1:], nilIfEmpty(p.watch(View{After: e.Number}, len(p.records))), "after %d", e.Number)
	}
	live := p.watch(View{After: -1}, 0)
	for n := range p.records { // whoever was there from the start, and comes back
		for i, e := range live {
			if e.Number >= events[0].Number {
				break
			}
			again := p.watch(View{After: e.Number}, n)
			require.NotEmpty(t, again)
			if e.Type != errorEvent {
				require.Equal(t, errorEvent, again[len(again)-1].Type, "event %d, record %d", i, n)
			}
		}
	}
}

func nilIfEmpty(events []Event) []Event {
	if len(events) == 0 {
		return []Event{}
	}
	return events
}

func TestStream_Coalesced(t *testing.T) {
	t.Parallel()
	for name, p := range plays(t) {
		for _, size := range []int{1, 2, 100} {
			other := *p
			other.records = coalesce(t, p.records, func() int { return size })
			require.Equal(t, p.all(), other.all(), name)
			require.Equal(t, p.watch(View{After: -1}, 0), other.watch(View{After: -1}, 0), name)
		}
	}
}

// coalesce cuts the same chunks into other records, of as many chunks as size says.
func coalesce(t testing.TB, records []completion.Record, size func() int) []completion.Record {
	var out []completion.Record
	var chunks []json.RawMessage
	attempt := 0
	add := func(e completion.Event) {
		e.Seq = int64(len(out) + 1)
		data, err := e.Encode()
		require.NoError(t, err)
		out = append(out, completion.Record{Seq: e.Seq, Attempt: e.Attempt, Type: e.Type, Data: data})
	}
	flush := func() {
		for len(chunks) > 0 {
			n := min(max(size(), 1), len(chunks))
			add(completion.Event{Type: completion.EventDelta, Attempt: attempt, Chunks: chunks[:n]})
			chunks = chunks[n:]
		}
	}
	for _, r := range records {
		e, err := r.Event()
		require.NoError(t, err)
		if e.Type == completion.EventDelta {
			chunks, attempt = append(chunks, e.Chunks...), e.Attempt
			continue
		}
		flush()
		add(e)
	}
	return out
}

func TestStream_LostLog(t *testing.T) {
	t.Parallel()
	whole := plays(t)["tools"]
	p := *whole
	for _, n := range []int{1, len(p.records) - 1} { // the log has lost its first records, or all but the last
		p.records = whole.records[n:]
		t.Run("FromTheStart", func(t *testing.T) {
			t.Parallel()
			events := p.watch(View{After: -1}, 0)
			require.Equal(t, created, events[0].Type)
			f := newFold(t)
			for i, e := range events {
				require.Equal(t, int64(i), e.Number)
				f.add(e)
			}
			f.same(p.job)
		})
		t.Run("Resumed", func(t *testing.T) {
			t.Parallel()
			events := p.watch(View{After: 7}, len(p.records))
			require.Len(t, events, 1)
			require.Equal(t, "response.completed", events[0].Type)
			require.Equal(t, int64(8), events[0].Number)
		})
	}
}

// TestStream_BegunAnew watches while the log loses its data and the worker says everything again.
func TestStream_BegunAnew(t *testing.T) {
	t.Parallel()
	p := newPlay(t, `{"model":"m","input":"hi"}`).start().delta(content("Hel"))
	p.seq += 10
	p.add(completion.Event{Type: completion.EventStarted})
	p.add(completion.Event{Type: completion.EventDelta, Chunks: answer.Restate(p.answer.Completion())})
	p.delta(content("lo")).delta(finish("stop")).end(completion.Completed)
	agrees(t, p)
	text := ""
	for _, e := range p.watch(View{After: -1}, 0) {
		if e.Type == "response.output_text.delta" {
			text += gjson.GetBytes(e.Data, "delta").Str + "|"
		}
	}
	require.Equal(t, "Hel|lo|", text)
}

func TestStream_LargeResult(t *testing.T) {
	t.Parallel()
	p := newPlay(t, `{"model":"m","input":"hi"}`).start()
	for range 60 {
		p.delta(content(strings.Repeat("large ", 1000)))
	}
	p.delta(finish("stop")).end(completion.Completed)
	view := View{After: -1, Load: func(context.Context) (completion.Job, error) { return p.job, nil }}
	events := p.watch(view, 0)
	require.JSONEq(t, string(Object(p.job)), gjson.GetBytes(events[len(events)-1].Data, "response").Raw)

	away := errors.New("store is away")
	view.Load = func(context.Context) (completion.Job, error) { return completion.Job{}, away }
	s, err := Join(t.Context(), p.job, view, past(nil))
	require.NoError(t, err)
	for _, r := range p.records {
		_, err = s.Add(t.Context(), r)
	}
	require.ErrorIs(t, err, away)
}

func TestStream_Obfuscation(t *testing.T) {
	t.Parallel()
	for _, e := range plays(t)["text"].watch(View{After: -1, Obfuscation: true}, 0) {
		if strings.HasSuffix(e.Type, ".delta") {
			require.Zero(t, (len(gjson.GetBytes(e.Data, "delta").Raw)+len(gjson.GetBytes(e.Data, "obfuscation").Str))%len(padding))
		}
	}
}
