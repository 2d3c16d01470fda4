package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/modelsim"
)

// bulk is a batch whose lines ask each for something else.
type bulk struct {
	endpoint string
	lines    int
	prompt   func(text string) map[string]any // what a body has beside its model
	says     string                           // path of what an answer says
	want     func(text string) any            // what it must say
}

var bulks = []bulk{
	{
		endpoint: "/v1/chat/completions", lines: 1000, says: "choices.0.message.content", want: simAnswer,
		prompt: func(text string) map[string]any {
			return map[string]any{"messages": []map[string]string{{"role": "user", "content": text}}}
		},
	},
	{
		endpoint: "/v1/completions", lines: 20, says: "choices.0.text", want: simAnswer,
		prompt: func(text string) map[string]any { return map[string]any{"prompt": text} },
	},
	{
		endpoint: "/v1/responses", lines: 20, says: "output.0.content.0.text", want: simAnswer,
		prompt: func(text string) map[string]any { return map[string]any{"input": text} },
	},
	{
		endpoint: "/v1/embeddings", lines: 20, says: "data.0.embedding",
		want:   func(text string) any { return modelsim.Embedding(text, 8) },
		prompt: func(text string) map[string]any { return map[string]any{"input": text, "dimensions": 8} },
	},
}

func simAnswer(text string) any { return modelsim.Answer(text) }

// TestOpenAI_Batch runs batches as programs do: they upload a file, make a batch of it, ask until it is completed, and read
// its files. Each line is answered once, with its own text, in the order of the input.
func TestOpenAI_Batch(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	for name, d := range o.drivers {
		for _, e := range bulks {
			t.Run(name+e.endpoint, func(t *testing.T) {
				t.Parallel()
				o.runBulk(t, d, e, "batch."+name+strings.ReplaceAll(e.endpoint, "/", "."))
			})
		}
	}
}

// text is what line i asks, from 1.
func (e bulk) text(i int, marker string) string { return fmt.Sprintf("line %d of %s.", i, marker) }

// status is what the upstream answers line i with.
func (e bulk) status(i int) int {
	switch i % 25 {
	case 4:
		return 400
	case 11:
		return 422
	}
	return 200
}

// input is the file of the lines.
func (e bulk) input(t *testing.T, marker string) string {
	t.Helper()
	var b strings.Builder
	for i := 1; i <= e.lines; i++ {
		body := e.prompt(e.text(i, marker))
		body["model"] = "sim?tps=0"
		if status := e.status(i); status != 200 {
			body["model"] = fmt.Sprintf("sim?fail=%d&code=sim_refused", status)
		}
		line, err := json.Marshal(map[string]any{"custom_id": customID(i), "method": "POST", "url": e.endpoint, "body": body})
		require.NoError(t, err)
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func customID(i int) string { return fmt.Sprintf("request-%d", i) }

// runBulk runs a batch with a program and checks all that it gets.
func (o *office) runBulk(t *testing.T, d driver, e bulk, marker string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	steps := 0
	do := func(call string, until map[string]json.RawMessage, args ...any) sight {
		t.Helper()
		text, err := json.Marshal(args)
		require.NoError(t, err)
		s := o.step(t, ctx, d, openaiStep{Call: call, Args: text, Until: until}, marker, o.keys, steps)
		steps++
		require.Nil(t, s.Error, "%s: %+v", call, s.Error)
		return s
	}
	file := do("files.create", nil, map[string]any{"file": map[string]any{"name": "in.jsonl", "text": e.input(t, marker)}, "purpose": "batch"})
	made := do("batches.create", nil, map[string]any{"input_file_id": gjson.GetBytes(file.Body, "id").Str, "endpoint": e.endpoint, "completion_window": "24h"})
	ended := map[string]json.RawMessage{"body.status": json.RawMessage(`{"$like": "^(completed|failed|expired|cancelled)$"}`)}
	batch := gjson.ParseBytes(do("batches.retrieve", ended, gjson.GetBytes(made.Body, "id").Str).Body)
	require.Equal(t, "completed", batch.Get("status").Str, batch.Raw)
	output := do("files.content", nil, batch.Get("output_file_id").Str)
	faults := do("files.content", nil, batch.Get("error_file_id").Str)

	e.check(t, marker, batch, output.Lines, faults.Lines)
	e.checkAsked(t, marker, o.asked(t, marker))
}

// check compares the files of a batch with what its lines ask.
func (e bulk) check(t *testing.T, marker string, batch gjson.Result, output, faults []json.RawMessage) {
	t.Helper()
	require.JSONEq(t, fmt.Sprintf(`{"total":%d,"completed":%d,"failed":%d}`, e.lines, len(output), len(faults)), batch.Get("request_counts").Raw)
	require.Equal(t, e.lines, len(output)+len(faults))
	input, made := int64(0), int64(0)
	for i := 1; i <= e.lines; i++ {
		if status := e.status(i); status != 200 {
			fault := gjson.ParseBytes(faults[0])
			faults = faults[1:]
			require.Equal(t, customID(i), fault.Get("custom_id").Str)
			require.EqualValues(t, status, fault.Get("response.status_code").Int(), fault.Raw)
			require.Equal(t, "sim_refused", fault.Get("response.body.error.code").Str, fault.Raw)
			continue
		}
		line := gjson.ParseBytes(output[0])
		output = output[1:]
		require.Equal(t, customID(i), line.Get("custom_id").Str)
		want, err := json.Marshal(e.want(e.text(i, marker)))
		require.NoError(t, err)
		require.JSONEq(t, string(want), line.Get("response.body."+e.says).Raw)
		usage := line.Get("response.body.usage")
		input += usage.Get("prompt_tokens").Int() + usage.Get("input_tokens").Int()
		made += usage.Get("completion_tokens").Int() + usage.Get("output_tokens").Int()
	}
	require.Positive(t, input)
	require.Equal(t, []int64{input, made, input + made}, []int64{
		batch.Get("usage.input_tokens").Int(), batch.Get("usage.output_tokens").Int(), batch.Get("usage.total_tokens").Int(),
	})
}

// checkAsked checks that the upstream was asked once for each line.
func (e bulk) checkAsked(t *testing.T, marker string, asked []upstreamSight) {
	t.Helper()
	lines := regexp.MustCompile(`line \d+ of ` + regexp.QuoteMeta(marker) + `\.`)
	times := map[string]int{}
	for _, a := range asked {
		times[lines.FindString(string(a.Body))]++
	}
	for i := 1; i <= e.lines; i++ {
		require.Equal(t, 1, times[e.text(i, marker)], "%s: %v", e.text(i, marker), times)
	}
}
