package e2e_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// oddity is an answer that is hard to stream, to keep or to read. It ends as completed unless it says otherwise.
type oddity struct {
	directives string
	with       string // more members of the request
	tries      int    // 0: one
	code       completion.Code
	says       map[string]string // parts of the message (see parts) as they are escaped; nil: not checked
	spoken     int               // bytes of the first choice's text; 0: not checked
}

const (
	threeChoices = `,"n":3`
	withTool     = `,"tools":[{"type":"function","function":{"name":"look_up"}}]`
)

// escaped is a text as the simulated model escapes it.
func escaped(text string) string {
	return strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(text)
}

var answered = escaped(modelsim.Answer(prompt))

// oddities are what both kinds of installation have to take.
var oddities = map[string]oddity{
	"NUL":            {directives: "nul=1", says: map[string]string{"0.content": `\u0000` + answered}},
	"BrokenUTF8":     {directives: "bad_utf8=1", says: map[string]string{"0.content": `\udcff` + answered}},
	"SplitSurrogate": {directives: "split_surrogate=1", says: map[string]string{"0.content": `\ud83d\ude00` + answered}},
	"AllAtOnce":      {directives: "nul=1&bad_utf8=1&split_surrogate=1&null_content=1&id_changes=1&comments=1&nodone=1", says: map[string]string{"0.content": `\ud83d\ude00\u0000\udcff` + answered}},
	"NoTokens":       {directives: "tokens=0", says: map[string]string{"0.content": ""}},
	"NoUsage":        {directives: "nousage=1", says: map[string]string{"0.content": answered}},
	"Empty":          {directives: "empty=1", tries: 2, code: completion.CodeUpstreamGarbage},
	"EmptyOnce":      {directives: "empty=1&times=1", tries: 2, says: map[string]string{"0.content": answered}},
	"Megabytes":      {directives: "big=5000000", spoken: 5_000_000},
	"ToolCut":        {directives: "tool=look_up&cut=3", with: withTool, tries: 2, code: completion.CodeCut, says: map[string]string{"0.0.name": "look_up", "0.0.arguments": `{\"input\":`}},
	"ToolCutOnce":    {directives: "tool=look_up&cut=3&times=1", with: withTool, tries: 2, says: map[string]string{"0.0.name": "look_up", "0.0.arguments": `{\"input\": \"hello\"}`}},
}

// more are oddities that need no second installation to be proved.
var more = map[string]oddity{
	"MegabytesInPieces": {directives: "big=5000000&deltas=1000", spoken: 5_000_000},
	"ManyDeltas":        {directives: "tokens=100000", spoken: len(modelsim.AnswerOf(100_000, prompt))},
	"ToolStalledOnce":   {directives: "tool=look_up&stall=3&times=1", with: withTool, tries: 2, says: map[string]string{"0.0.name": "look_up", "0.0.arguments": `{\"input\": \"hello\"}`}},
	"ChoicesCut":        {directives: "cut=2", with: threeChoices, tries: 2, code: completion.CodeCut, says: map[string]string{"0.content": "This is", "1.content": "This is", "2.content": "This is"}},
	"ChoiceUnfinished":  {directives: "unfinished=1&nodone=1", with: threeChoices, tries: 2, code: completion.CodeCut, says: map[string]string{"0.content": answered, "1.content": answered, "2.content": answered}},
	"ChoiceLateOnce":    {directives: "unfinished=1&nodone=1&times=1", with: threeChoices, tries: 2, says: map[string]string{"0.content": answered, "1.content": answered, "2.content": answered}},
}

// TestData_I4 has upstreams say what is hard to keep: what viewers see, what is stored and what the API answers is the
// same, byte for byte.
func TestData_I4(t *testing.T) {
	t.Parallel()
	env := []string{"SLUICE_INTERACTIVE_ATTEMPTS=2", "SLUICE_UPSTREAM_IDLE=3s"}
	t.Run("Programs", func(t *testing.T) {
		t.Parallel()
		c := startCluster(t, 1, 1, env...)
		c.apis[0].tell(t, oddities)
		c.apis[0].tell(t, more)
	})
	t.Run("AllInOne", func(t *testing.T) {
		t.Parallel()
		u := startUpstream(t)
		i := newInstallation(t, append(env, "OPENAI_BASE_URL="+u.url)...)
		i.up(t)
		i.api(t).tell(t, oddities)
	})
}

func (a *apiProcess) tell(t *testing.T, all map[string]oddity) {
	t.Helper()
	for name, o := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.check(t, a)
		})
	}
}

func (o oddity) check(t *testing.T, a *apiProcess) {
	t.Helper()
	model := fmt.Sprintf("sim?tps=0&%s&key=%s", o.directives, t.Name())
	request := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, model, prompt, o.with)
	job := a.hand(t, client.Submission{Request: json.RawMessage(request)})
	live := a.viewers(t, job)
	story := live[0].whole(t)
	for _, v := range append(live[1:], a.viewers(t, job)...) {
		require.True(t, reflect.DeepEqual(story, v.whole(t)), "%s saw the same", v.name)
	}

	answer := a.get(t, "/v1/jobs/"+job.ID)
	require.True(t, utf8.ValidString(answer.body))
	require.True(t, json.Valid([]byte(answer.body)))
	result, final := gjson.Get(answer.body, "result"), story[len(story)-1]
	state := completion.Completed
	if o.code != "" {
		state = completion.Failed
	}
	require.Equal(t, completion.EventType(state), final.Type, types(story))
	require.Equal(t, string(state), gjson.Get(answer.body, "state").Str)
	require.Equal(t, string(o.code), gjson.Get(answer.body, "error.code").Str)
	require.EqualValues(t, max(o.tries, 1), gjson.Get(answer.body, "attempt").Int())

	stored, streamed := map[string][]byte{}, spoken(story)
	parts(stored, result, "message")
	require.True(t, reflect.DeepEqual(stored, streamed), "byte for byte; too long to show")
	for part, text := range o.says {
		require.Equal(t, text, string(stored[part]), part)
	}
	if o.spoken > 0 {
		require.Len(t, result.Get("choices.0.message.content").Str, o.spoken)
	}
	require.Equal(t, strings.Contains(o.directives, "nousage") || strings.Contains(o.directives, "empty=1") && o.code != "", gjson.Get(answer.body, "usage").Type == gjson.Null)
}

// viewers follow a job in all ways.
func (a *apiProcess) viewers(t *testing.T, job client.Job) []*viewer {
	t.Helper()
	all := []*viewer{native(t, job, job.Stream.NATSURL, 0), native(t, job, job.Stream.WebSocketURL, 0), a.sse(t, job, 0)}
	for _, v := range all {
		go func() {
			for range v.next { // more events may come than the channel holds
			}
		}()
	}
	return all
}

// whole is end for stories of many thousand events.
func (v *viewer) whole(t *testing.T) []completion.Event {
	t.Helper()
	<-v.done
	require.NoError(t, v.err, v.name)
	for i, e := range v.all {
		if e.Seq != int64(i)+1 || e.Type.Final() != (i == len(v.all)-1) {
			t.Fatalf("%s: event %d of %d is %s %d", v.name, i+1, len(v.all), e.Type, e.Seq)
		}
	}
	require.NotEmpty(t, v.all, v.name)
	return v.all
}

// spoken are the parts of what the last attempt said.
func spoken(story []completion.Event) map[string][]byte {
	said := map[string][]byte{}
	for _, e := range story {
		if e.Type == completion.EventStarted {
			said = map[string][]byte{}
		}
		for _, chunk := range e.Chunks {
			parts(said, gjson.ParseBytes(chunk), "delta")
		}
	}
	return said
}

// parts adds the texts of each choice's message or delta to said, as they are escaped: the content, and the names and
// arguments of tool calls.
func parts(said map[string][]byte, from gjson.Result, message string) {
	add := func(v gjson.Result, key string, at ...any) {
		if v.Type == gjson.String {
			part := fmt.Sprintf(key, at...)
			said[part] = append(said[part], v.Raw[1:len(v.Raw)-1]...)
		}
	}
	for _, choice := range from.Get("choices").Array() {
		index, m := choice.Get("index").Int(), choice.Get(message)
		add(m.Get("content"), "%d.content", index)
		for at, call := range m.Get("tool_calls").Array() {
			if i := call.Get("index"); i.Exists() {
				at = int(i.Int())
			}
			for _, key := range []string{"name", "arguments"} {
				add(call.Get("function."+key), "%d.%d.%s", index, at, key)
			}
		}
	}
}
