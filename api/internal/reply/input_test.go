package reply

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

func TestInput(t *testing.T) {
	t.Parallel()
	const hex = "0198c0de00007000800000000000beef"
	for name, c := range map[string]struct{ input, want string }{
		"Text":      {`"h\u00e9"`, `{"id":"msg_` + hex + `_in0","type":"message","status":"completed","role":"user","content":[{"type":"input_text","text":"h\u00e9"}]}`},
		"Easy":      {`[{"role":"user","content":"a"}]`, `{"id":"msg_` + hex + `_in0","type":"message","status":"completed","role":"user","content":[{"type":"input_text","text":"a"}]}`},
		"Assistant": {`[{"role":"assistant","content":"a"}]`, `{"id":"msg_` + hex + `_in0","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"a"}]}`},
		"OwnID":     {`[{"id":"msg_mine","status":null,"role":"user","content":[{"type":"input_text","text":"a"}]}]`, `{"id":"msg_mine","type":"message","status":"completed","role":"user","content":[{"type":"input_text","text":"a"}]}`},
		"Output":    {`[{"type":"function_call_output","call_id":"c","output":"1"}]`, `{"id":"fco_` + hex + `_in0","type":"function_call_output","status":"completed","call_id":"c","output":"1"}`},
		"Reasoning": {`[{"type":"reasoning","summary":[]}]`, `{"id":"rs_` + hex + `_in0","type":"reasoning","summary":[]}`},
	} {
		got := Input(completion.Job{ID: testID, Request: json.RawMessage(`{"input":` + c.input + `}`)})
		require.Len(t, got, 1, name)
		require.Equal(t, c.want, string(got[0]), name)
	}
}

func TestItemJob(t *testing.T) {
	t.Parallel()
	for _, p := range plays(t) {
		for _, item := range append(Output(p.job), Input(p.job)...) {
			if answer.IsResponse(p.job.Result) && gjson.GetBytes(item, "role").Str != "user" {
				continue // an upstream's own id
			}
			job, ok := ItemJob(gjson.GetBytes(item, "id").Str)
			require.True(t, ok, "%s", item)
			require.Equal(t, testID, job)
		}
	}
	for _, id := range []string{"", "msg_", "msg_1", "call_" + strings.Repeat("0", 32), "msg_" + strings.Repeat("*", 32)} {
		_, ok := ItemJob(id)
		require.False(t, ok, id)
	}
}

func FuzzInput(f *testing.F) {
	f.Add([]byte(`[{"role":"user","content":"a"},{"type":"reasoning","id":null},{"\u0069d":1},1]`))
	f.Fuzz(func(t *testing.T, input []byte) {
		if !json.Valid(input) {
			return
		}
		for _, item := range Input(completion.Job{ID: testID, Request: append(append([]byte(`{"input":`), input...), '}')}) {
			require.True(t, json.Valid(item), "%s", item)
		}
	})
}
