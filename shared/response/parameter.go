package response

import (
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

// Support says what becomes of a parameter.
type Support string

// What becomes of a parameter.
const (
	Exact       Support = "exact"          // it does what it does at OpenAI
	Passed      Support = "passed through" // the upstream is told, and does what it can
	Unsupported Support = "not supported"  // refused, or without effect where the note says so
)

// Parameter is one parameter of POST /v1/responses.
type Parameter struct {
	Name    string
	Support Support
	Note    string                                                  // for people
	form    form.Form                                               // null is allowed as well
	apply   func(t *translation, v gjson.Result, path string) error // nil: nothing is said to the upstream
}

// check refuses what is not of form f.
func check(f form.Form, v gjson.Result, path string) error {
	if !f.Fits(v) {
		return completion.Invalid(path, "The parameter %q must be %s.", path, f)
	}
	return nil
}

// Parameters are all that OpenAI documents. Others pass through as they are, save for those in moved.
var Parameters = []Parameter{
	{Name: "model", Support: Exact, form: form.Text, apply: (*translation).model},
	{Name: "input", Support: Exact, form: form.TextOrList, apply: (*translation).input, Note: "Messages, images, files, audio, function and custom tool calls and their outputs. Reasoning items are not sent again."},
	{Name: "instructions", Support: Exact, form: form.Text, apply: (*translation).instructions, Note: "Sent as the first system message."},
	{Name: "previous_response_id", Support: Exact, form: form.Text},
	{Name: "stream", Support: Exact, form: form.Bool},
	{Name: "stream_options", Support: Exact, form: form.Object, apply: keep("stream_options")},
	{Name: "background", Support: Exact, form: form.Bool, Note: "Needs store."},
	{Name: "store", Support: Exact, form: form.Bool, Note: "Kept here, not by the upstream."},
	{Name: "metadata", Support: Exact, form: form.Object, Note: "Kept here; the upstream is not told."},
	{Name: "include", Support: Exact, form: form.List, apply: (*translation).include, Note: "message.output_text.logprobs; the others have no effect."},
	{Name: "tools", Support: Exact, form: form.List, apply: (*translation).tools, Note: "function and custom; OpenAI's hosted tools are refused."},
	{Name: "tool_choice", Support: Exact, form: form.TextOrObject, apply: (*translation).toolChoice},
	{Name: "text", Support: Exact, form: form.Object, apply: (*translation).text, Note: "format becomes response_format, verbosity stays."},
	{Name: "reasoning", Support: Passed, form: form.Object, apply: (*translation).reasoning, Note: "effort becomes reasoning_effort; summary has no effect."},
	{Name: "max_output_tokens", Support: Passed, form: form.Int, apply: keep("max_completion_tokens"), Note: "Sent as max_completion_tokens."},
	{Name: "temperature", Support: Passed, form: form.Number, apply: keep("temperature")},
	{Name: "top_p", Support: Passed, form: form.Number, apply: keep("top_p")},
	{Name: "top_logprobs", Support: Passed, form: form.Int, apply: (*translation).topLogprobs},
	{Name: "parallel_tool_calls", Support: Passed, form: form.Bool, apply: keep("parallel_tool_calls")},
	{Name: "user", Support: Passed, form: form.Text, apply: keep("user")},
	{Name: "safety_identifier", Support: Passed, form: form.Text, apply: keep("safety_identifier")},
	{Name: "service_tier", Support: Passed, form: form.Text, apply: keep("service_tier")},
	{Name: "prompt_cache_key", Support: Passed, form: form.Text, apply: keep("prompt_cache_key")},
	{Name: "prompt_cache_options", Support: Passed, form: form.Object, apply: keep("prompt_cache_options")},
	{Name: "prompt_cache_retention", Support: Passed, form: form.Text, apply: keep("prompt_cache_retention")},
	{Name: "truncation", Support: Unsupported, form: form.Text, Note: "Accepted without effect: nothing is ever left out."},
	{Name: "max_tool_calls", Support: Unsupported, form: form.Int, Note: "Accepted without effect: it bounds hosted tools, which there are none of."},
	{Name: "conversation", Support: Unsupported, apply: refuse("use previous_response_id")},
	{Name: "prompt", Support: Unsupported, apply: refuse("send the prompt's text as instructions and input")},
	{Name: "moderation", Support: Unsupported, apply: refuse("ask the upstream's moderation endpoint")},
	{Name: "context_management", Support: Unsupported, apply: refuse("nothing is ever left out of the context")},
}

// moved are parameters of chat completions that are said otherwise here, or not at all.
var moved = map[string]string{
	"messages": "use input", "response_format": "use text.format", "max_tokens": "use max_output_tokens",
	"max_completion_tokens": "use max_output_tokens", "reasoning_effort": "use reasoning.effort", "verbosity": "use text.verbosity",
	"functions": "use tools", "function_call": "use tool_choice", "n": "a response has one answer",
	"logprobs": `use include: ["message.output_text.logprobs"]`,
}

var known = func() map[string]*Parameter {
	m := map[string]*Parameter{}
	for i := range Parameters {
		m[Parameters[i].Name] = &Parameters[i]
	}
	return m
}()

// keep says v to the upstream under a name of chat completions.
func keep(name string) func(*translation, gjson.Result, string) error {
	return func(t *translation, v gjson.Result, _ string) error {
		t.out.set(name, v.Raw)
		return nil
	}
}

func refuse(instead string) func(*translation, gjson.Result, string) error {
	return func(_ *translation, _ gjson.Result, path string) error {
		return completion.Invalid(path, "The parameter %q is not supported; %s.", path, instead)
	}
}
