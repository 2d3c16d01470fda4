package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// badData are answers that are large, odd or broken, and how their jobs must end.
var badData = map[string]struct {
	directives string
	more       string // of the request
	state      completion.State
	code       completion.Code // of the error
	check      func(*require.Assertions, client.Job)
}{
	"U+0000":            {"nul=1", "", completion.Completed, "", func(r *require.Assertions, j client.Job) { r.Contains(string(j.Result), `"content":"\u0000This`) }},
	"InvalidUTF8":       {"bad_utf8=1", "", completion.Completed, "", func(r *require.Assertions, j client.Job) { r.Contains(string(j.Result), `"content":"\udcffThis`) }},
	"SurrogateCut":      {"split_surrogate=1", "", completion.Completed, "", func(r *require.Assertions, j client.Job) { r.True(strings.HasPrefix(content(j), "😀This")) }},
	"NoText":            {"tokens=0", "", completion.Completed, "", func(r *require.Assertions, j client.Job) { r.Empty(content(j)) }},
	"NoChunks":          {"empty=1", "", completion.Failed, completion.CodeUpstreamGarbage, nil},
	"FiveMB":            {"big=5000000", "", completion.Completed, "", func(r *require.Assertions, j client.Job) { r.Len(content(j), 5_000_000) }},
	"HundredThousand":   {"tokens=100000", "", completion.Completed, "", func(r *require.Assertions, j client.Job) { r.Len(content(j), len(modelsim.AnswerOf(100_000, prompt))) }},
	"NoUsage":           {"nousage=1", "", completion.Completed, "", func(r *require.Assertions, j client.Job) { r.Equal("null", string(j.Usage)) }},
	"ThreeChoices":      {"tokens=20", `"n":3,`, completion.Completed, "", func(r *require.Assertions, j client.Job) { r.Len(gjson.GetBytes(j.Result, "choices").Array(), 3) }},
	"ThreeChoicesCut":   {"tokens=20&cut=10", `"n":3,`, completion.Failed, completion.CodeCut, nil},
	"ToolCallCut":       {"tool=f&cut=3", tools, completion.Failed, completion.CodeCut, halfCall},
	"ToolCallCutOnce":   {"tool=f&cut=3&times=1&key=tool", tools, completion.Completed, "", wholeCall},
	"LongToolCall":      {"tool=f", tools, completion.Completed, "", wholeCall},
	"GarbageInTheMidst": {"tokens=20&garbage=10", "", completion.Failed, completion.CodeUpstreamGarbage, nil},
}

const tools = `"tools":[{"type":"function","function":{"name":"f"}}],`

func halfCall(r *require.Assertions, j client.Job) {
	said := gjson.GetBytes(j.Result, "choices.0.message.tool_calls.0.function.arguments").Str
	r.NotEmpty(said)
	r.False(json.Valid([]byte(said)), "half a call is kept as it is")
}

func wholeCall(r *require.Assertions, j client.Job) {
	said := gjson.GetBytes(j.Result, "choices.0.message.tool_calls.0.function.arguments").Str
	r.True(json.Valid([]byte(said)))
	r.NotEmpty(gjson.Get(said, "input").Str)
}

// TestBadData_I4 has each viewer see, byte for byte, what is stored, and each job come to its end.
func TestBadData_I4(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 1, "SLUICE_INTERACTIVE_ATTEMPTS=2")
	a := c.apis[0]
	for name, d := range badData {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := prompt
			if name == "LongToolCall" {
				ask = strings.Repeat("very long ", 10_000)
			}
			request := fmt.Sprintf(`{"model":"sim?tps=0&%s",%s"messages":[{"role":"user","content":%q}]}`, d.directives, d.more, ask)
			job := a.hand(t, client.Submission{Request: json.RawMessage(request)})
			viewers := []*viewer{native(t, job, job.Stream.NATSURL, 0), native(t, job, job.Stream.WebSocketURL, 0), a.sse(t, job, 0)}
			stored := a.finished(t, job.ID)
			require.Equal(t, d.state, stored.State, "%v", stored.Error)
			if d.code != "" {
				require.Equal(t, d.code, stored.Error.Code)
			}
			if d.check != nil {
				d.check(require.New(t), stored)
			}
			for _, v := range append(viewers, native(t, job, job.Stream.NATSURL, 0)) {
				said := folded(t, v.end(t, 0))
				same := gjson.GetBytes(said, "choices|@ugly").Raw == gjson.GetBytes(stored.Result, "choices|@ugly").Raw
				require.True(t, same, "%s: %d bytes streamed, %d stored", v.name, len(said), len(stored.Result))
			}
		})
	}
}

// folded is what the last attempt among the events amounts to.
func folded(t *testing.T, events []completion.Event) json.RawMessage {
	t.Helper()
	said := &answer.Answer{}
	for _, e := range events {
		if e.Type == completion.EventStarted {
			said = &answer.Answer{}
		}
		for _, chunk := range e.Chunks {
			_, err := said.Add(chunk)
			require.NoError(t, err)
		}
	}
	return said.Completion()
}
