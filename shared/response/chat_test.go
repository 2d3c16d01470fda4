package response

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

// rest is what a body needs besides the parameter that a row is about.
const rest = `,"model":"m","input":"hi"}`

// hello is what rest amounts to.
const hello = `"model":"m","messages":[{"role":"user","content":"hi"}]`

func TestChat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, out string }{
		"Text":             {`{"model":"m","input":"h\u00e9\n"}`, `{"model":"m","messages":[{"role":"user","content":"h\u00e9\n"}]}`},
		"Instructions":     {`{"input":"hi","model":"m","instructions":"be \"brief\""}`, `{"model":"m","messages":[{"role":"system","content":"be \"brief\""},{"role":"user","content":"hi"}]}`},
		"Nulls":            {`{"instructions":null,"tools":null,"text":null,"temperature":null,"conversation":null,"messages":null,"metadata":null` + rest, `{` + hello + `}`},
		"NumbersKeepBytes": {`{"temperature":1.00,"top_p":1e-1,"unknown":12345678901234567890.10` + rest, `{` + hello + `,"temperature":1.00,"top_p":1e-1,"unknown":12345678901234567890.10}`},
		"KeptHere":         {`{"store":true,"background":true,"stream":true,"metadata":{"a":"b"},"truncation":"auto","max_tool_calls":3,"previous_response_id":"resp_1"` + rest, `{` + hello + `}`},
		"Limits":           {`{"max_output_tokens":64,"parallel_tool_calls":false,"stream_options":{"include_obfuscation":false}` + rest, `{` + hello + `,"max_completion_tokens":64,"parallel_tool_calls":false,"stream_options":{"include_obfuscation":false}}`},
		"Labels": {
			`{"user":"u","safety_identifier":"s","service_tier":"flex","prompt_cache_key":"k","prompt_cache_retention":"24h"` + rest,
			`{` + hello + `,"user":"u","safety_identifier":"s","service_tier":"flex","prompt_cache_key":"k","prompt_cache_retention":"24h"}`,
		},
		"Logprobs":    {`{"include":["message.output_text.logprobs","reasoning.encrypted_content"]` + rest, `{` + hello + `,"logprobs":true}`},
		"TopLogprobs": {`{"top_logprobs":5` + rest, `{` + hello + `,"logprobs":true,"top_logprobs":5}`},
		"NoLogprobs":  {`{"top_logprobs":0,"include":[]` + rest, `{` + hello + `}`},
		"Reasoning":   {`{"reasoning":{"effort":"high","summary":"auto"}` + rest, `{` + hello + `,"reasoning_effort":"high"}`},
		"NoReasoning": {`{"reasoning":{"effort":null}` + rest, `{` + hello + `}`},
		"PlainText":   {`{"text":{"format":{"type":"text"},"verbosity":"low"}` + rest, `{` + hello + `,"verbosity":"low"}`},
		"JSONObject":  {`{"text":{"format":{"type":"json_object"}}` + rest, `{` + hello + `,"response_format":{"type":"json_object"}}`},
		"JSONSchema": {
			`{"text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object","b":1,"a":2.0},"description":null}}` + rest,
			`{` + hello + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","b":1,"a":2.0}}}}`,
		},
		"Tools": {
			`{"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},{"type":"function","name":"g","parameters":null,"strict":null,"defer_loading":true}]` + rest,
			`{` + hello + `,"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}]}`,
		},
		"CustomTools": {
			`{"tools":[{"type":"custom","name":"c","format":{"type":"grammar","syntax":"lark","definition":"x"}},{"type":"custom","name":"d","format":{"type":"text"}}]` + rest,
			`{` + hello + `,"tools":[{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}},{"type":"custom","custom":{"name":"d","format":{"type":"text"}}}]}`,
		},
		"NoTools":        {`{"tools":[]` + rest, `{` + hello + `}`},
		"ChoiceWord":     {`{"tool_choice":"required"` + rest, `{` + hello + `,"tool_choice":"required"}`},
		"ChoiceFunction": {`{"tool_choice":{"type":"function","name":"f"}` + rest, `{` + hello + `,"tool_choice":{"type":"function","function":{"name":"f"}}}`},
		"ChoiceCustom":   {`{"tool_choice":{"type":"custom","name":"f"}` + rest, `{` + hello + `,"tool_choice":{"type":"custom","custom":{"name":"f"}}}`},
		"ChoiceAllowed": {
			`{"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]}` + rest,
			`{` + hello + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Chat(json.RawMessage(c.in))
			require.NoError(t, err)
			require.Equal(t, c.out, string(got))
		})
	}
}

func TestChat_Items(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ items, messages string }{
		"EasyMessages": {
			`{"role":"developer","content":"d"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}`,
			`{"role":"system","content":"d"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}`,
		},
		"Parts": {
			`{"type":"message","role":"user","content":[{"type":"input_text","text":"see"},{"type":"input_image","image_url":"https://x/a.png","detail":"low"},` +
				`{"type":"input_file","filename":"a.pdf","file_data":"data:,x","file_id":null},{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]}`,
			`{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"https://x/a.png","detail":"low"}},` +
				`{"type":"file","file":{"filename":"a.pdf","file_data":"data:,x"}},{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]}`,
		},
		"OnePartOfText": {`{"role":"system","content":[{"type":"input_text","text":"s"}]}`, `{"role":"system","content":"s"}`},
		"OutputOfBefore": {
			`{"type":"reasoning","id":"rs_1","summary":[]},{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]},{"type":"refusal","refusal":"no"}]}`,
			`{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"no"}]}`,
		},
		"CallsOfOneTurn": {
			`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"wait"}]},{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"a\":1}"},` +
				`{"type":"custom_tool_call","call_id":"c2","name":"g","input":"x"},{"type":"function_call_output","call_id":"c1","output":"1"},` +
				`{"type":"custom_tool_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"}]},{"role":"user","content":"go on"}`,
			`{"role":"assistant","content":"wait","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"c2","type":"custom","custom":{"name":"g","input":"x"}}]},` +
				`{"role":"tool","tool_call_id":"c1","content":"1"},{"role":"tool","tool_call_id":"c2","content":"2"},{"role":"user","content":"go on"}`,
		},
		"CallsWithoutText": {
			`{"type":"function_call","call_id":"c1","name":"f","arguments":""},{"type":"function_call_output","call_id":"c1","output":""},{"type":"function_call","call_id":"c2","name":"f","arguments":"{}"}`,
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":""}}]},{"role":"tool","tool_call_id":"c1","content":""},` +
				`{"role":"assistant","content":null,"tool_calls":[{"id":"c2","type":"function","function":{"name":"f","arguments":"{}"}}]}`,
		},
		"TwoTurnsOfText": {
			`{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}`,
			`{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Chat(json.RawMessage(`{"model":"m","input":[` + c.items + `]}`))
			require.NoError(t, err)
			require.Equal(t, `{"model":"m","messages":[`+c.messages+`]}`, string(got))
		})
	}
}

func TestChat_Refused(t *testing.T) {
	t.Parallel()
	item := func(s string) string { return `{"model":"m","input":[{"role":"user","content":"x"},` + s + `]}` }
	content := func(s string) string { return item(`{"role":"user","content":[` + s + `]}`) }
	for _, c := range []struct{ body, param string }{
		{`[]`, ""},
		{`{"input":"x"}`, "model"},
		{`{"model":null,"input":"x"}`, "model"},
		{`{"model":" ","input":"x"}`, "model"},
		{`{"model":"m"}`, "input"},
		{`{"model":"m","input":[]}`, "input"},
		{`{"model":"m","input":null}`, "input"},
		{`{"model":"m","input":"a","input":"b"}`, "input"},
		{`{"tools":[{"type":"web_search"}]` + rest, "tools[0].type"},
		{`{"tools":[{"type":"function","name":"f"},{"name":"g"}]` + rest, "tools[1].type"},
		{`{"tools":["x"]` + rest, "tools[0]"},
		{`{"tools":[{"type":"function"}]` + rest, "tools[0].name"},
		{`{"tools":[{"type":"function","name":"f","parameters":"{}"}]` + rest, "tools[0].parameters"},
		{`{"tool_choice":"maybe"` + rest, "tool_choice"},
		{`{"tool_choice":{"type":"mcp","server_label":"x"}` + rest, "tool_choice.type"},
		{`{"tool_choice":{"type":"function"}` + rest, "tool_choice.name"},
		{`{"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function"}]}` + rest, "tool_choice.tools[0].name"},
		{`{"tool_choice":{"type":"allowed_tools","mode":"none","tools":[]}` + rest, "tool_choice.mode"},
		{`{"tool_choice":{"type":"allowed_tools","mode":"auto"}` + rest, "tool_choice.tools"},
		{`{"text":{"format":{"type":"xml"}}` + rest, "text.format.type"},
		{`{"text":{"format":"json"}` + rest, "text.format"},
		{`{"text":{"format":{"type":"json_schema","schema":{}}}` + rest, "text.format.name"},
		{`{"text":{"format":{"type":"json_schema","name":"n"}}` + rest, "text.format.schema"},
		{`{"text":{"verbosity":1}` + rest, "text.verbosity"},
		{`{"reasoning":{"effort":1}` + rest, "reasoning.effort"},
		{`{"include":[1]` + rest, "include[0]"},
		{`{"top_logprobs":21` + rest, "top_logprobs"},
		{`{"messages":[]` + rest, "messages"},
		{`{"n":2` + rest, "n"},
		{item(`{"type":"item_reference","id":"msg_1"}`), "input[1].id"},
		{item(`{"id":"msg_1"}`), "input[1].id"},
		{item(`{"type":"web_search_call","id":"x"}`), "input[1].type"},
		{item(`{}`), "input[1].type"},
		{item(`"x"`), "input[1]"},
		{item(`{"role":"tool","content":"x"}`), "input[1].role"},
		{item(`{"role":"user"}`), "input[1].content"},
		{item(`{"type":"function_call","call_id":"c","name":"f","arguments":{}}`), "input[1].arguments"},
		{item(`{"type":"function_call","name":"f","arguments":""}`), "input[1].call_id"},
		{item(`{"type":"function_call_output","output":"x"}`), "input[1].call_id"},
		{item(`{"type":"function_call_output","call_id":"c","output":{}}`), "input[1].output"},
		{content(`{"type":"input_text"}`), "input[1].content[0].text"},
		{content(`{"type":"video"}`), "input[1].content[0].type"},
		{content(`{"type":"input_image","file_id":"file_1"}`), "input[1].content[0].file_id"},
		{content(`{"type":"input_image"}`), "input[1].content[0].image_url"},
		{content(`{"type":"input_file","file_url":"https://x"}`), "input[1].content[0].file_url"},
		{content(`{"type":"input_file"}`), "input[1].content[0].file_data"},
		{content(`{"type":"input_file","file_data":1}`), "input[1].content[0].file_data"},
		{content(`{"type":"input_audio"}`), "input[1].content[0].input_audio"},
		{content(`1`), "input[1].content[0].type"},
	} {
		_, err := Chat(json.RawMessage(c.body))
		var e *completion.Error
		require.ErrorAs(t, err, &e, "%s", c.body)
		require.Equal(t, completion.CodeInvalidRequest, e.Code, "%s", c.body)
		require.Equal(t, c.param, e.Param, "%s: %v", c.body, err)
	}
	_, err := Chat(json.RawMessage(`{"model":`))
	require.Equal(t, completion.CodeInvalidJSON, completion.AsError(err).Code)
}

// TestChat_WrongTypes gives every parameter a value of another type, or any value at all if it is not supported.
func TestChat_WrongTypes(t *testing.T) {
	t.Parallel()
	for _, p := range Parameters {
		for _, value := range []string{`"text"`, `1`, `1.5`, `true`, `[]`, `{}`} {
			if p.form.Fits(gjson.Parse(value)) && p.form != form.Any {
				continue
			}
			body := map[string]json.RawMessage{"model": json.RawMessage(`"m"`), "input": json.RawMessage(`"hi"`), p.Name: json.RawMessage(value)}
			raw, err := json.Marshal(body)
			require.NoError(t, err)
			_, err = Chat(raw)
			var e *completion.Error
			require.ErrorAs(t, err, &e, "%s: %s", p.Name, value)
			require.Equal(t, p.Name, e.Param)
		}
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	before := []json.RawMessage{json.RawMessage(`{"role":"user","content":"1"}`), json.RawMessage(`{"role":"assistant","content":"2"}`)}
	for in, out := range map[string]string{
		`{"input":"3","model":"m","temperature":1.0}`:                       `{"input":[%s,{"type":"message","role":"user","content":[{"type":"input_text","text":"3"}]}],"model":"m","temperature":1.0}`,
		`{"model":"m","input":[{"role":"user","content":"3"}]}`:             `{"model":"m","input":[%s,{"role":"user","content":"3"}]}`,
		`{"model":"m","previous_response_id":"resp_1"}`:                     `{"model":"m","previous_response_id":"resp_1","input":[%s]}`,
		`{"model":"m","previous_response_id":"resp_1","input":null,"a":{}}`: `{"model":"m","previous_response_id":"resp_1","input":[%s],"a":{}}`,
	} {
		got := Extend(json.RawMessage(in), before)
		require.Equal(t, fmt.Sprintf(out, string(before[0])+","+string(before[1])), string(got))
		_, err := Chat(got)
		require.NoError(t, err)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	body := json.RawMessage(`{"model":"m","input":[{"role":"user","content":"1"},{"type":"item_reference","id":"a"},{"id":"b"},{"type":"item_reference","id":"c"}]}`)
	require.Equal(t, []string{"a", "b", "c"}, References(body))
	got := Resolve(body, map[string]json.RawMessage{
		"a": json.RawMessage(`{"role":"assistant","content":"A"}`), "b": json.RawMessage(`{"role":"user","content":"B"}`),
	})
	require.Equal(t, []string{"c"}, References(got))
	require.Equal(t, "A", gjson.GetBytes(got, "input.1.content").Str)
	require.Equal(t, "B", gjson.GetBytes(got, "input.2.content").Str)
}

func FuzzChat(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","input":"x","instructions":"y","tools":[{"type":"function","name":"f","parameters":{}}],"tool_choice":{"type":"function","name":"f"}}`,
		`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"u"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x"}]}`,
		`{"model":"m","input":[{"type":"reasoning"}],"text":{"format":{"type":"json_schema","name":"n","schema":{}}}}`,
		`{"model":"m","previous_response_id":"r","include":["message.output_text.logprobs"],"top_logprobs":2,"\u006eew":1}`,
	} {
		f.Add([]byte(s), []byte(`{"role":"assistant","content":"b"}`))
	}
	f.Fuzz(func(t *testing.T, body, item []byte) {
		if got, err := Chat(body); err == nil {
			valid(t, got)
		} else {
			require.ErrorAs(t, err, new(*completion.Error))
		}
		if json.Valid(body) && json.Valid(item) && gjson.ParseBytes(body).IsObject() {
			longer := Extend(body, []json.RawMessage{item})
			require.True(t, json.Valid(longer), "%s", longer)
			require.Len(t, Input(longer), len(Input(body))+1)
			if got, err := Chat(longer); err == nil {
				valid(t, got)
			}
		}
	})
}

func valid(t *testing.T, chat []byte) {
	t.Helper()
	require.True(t, json.Valid(chat), "%s", chat)
	require.NotEmpty(t, gjson.GetBytes(chat, "model").Str)
	require.NotEmpty(t, gjson.GetBytes(chat, "messages").Array())
	for _, m := range gjson.GetBytes(chat, "messages").Array() {
		require.NotEmpty(t, m.Get("role").Str)
		require.True(t, m.Get("content").Exists())
	}
}
