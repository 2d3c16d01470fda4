package response

import (
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
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
	Note    string // for people
	form    form
	apply   func(t *translation, v gjson.Result, path string) error // nil: nothing is said to the upstream
}

// form is what a value must be; null is allowed everywhere.
type form string

const (
	anything form = ""
	aText    form = "a string"
	aNumber  form = "a number"
	anInt    form = "an integer"
	aBool    form = "a boolean"
	aList    form = "an array"
	anObject form = "an object"
	aTextOr  form = "a string or an array" // of whatever the parameter is about
	aChoice  form = "a string or an object"
)

func (f form) fits(v gjson.Result) bool {
	switch f {
	case aText:
		return v.Type == gjson.String
	case aNumber:
		return v.Type == gjson.Number
	case anInt:
		return v.Type == gjson.Number && !strings.ContainsAny(v.Raw, ".eE")
	case aBool:
		return v.IsBool()
	case aList:
		return v.IsArray()
	case anObject:
		return v.IsObject()
	case aTextOr:
		return v.Type == gjson.String || v.IsArray()
	case aChoice:
		return v.Type == gjson.String || v.IsObject()
	default:
		return true
	}
}

// check refuses what is not of form f.
func (f form) check(v gjson.Result, path string) error {
	if !f.fits(v) {
		return completion.Invalid(path, "The parameter %q must be %s.", path, f)
	}
	return nil
}

// Parameters are all that OpenAI documents. Others pass through as they are, save for those in moved.
var Parameters = []Parameter{
	{Name: "model", Support: Exact, form: aText, apply: (*translation).model},
	{Name: "input", Support: Exact, form: aTextOr, apply: (*translation).input, Note: "Messages, images, files, audio, function and custom tool calls and their outputs. Reasoning items are not sent again."},
	{Name: "instructions", Support: Exact, form: aText, apply: (*translation).instructions, Note: "Sent as the first system message."},
	{Name: "previous_response_id", Support: Exact, form: aText},
	{Name: "stream", Support: Exact, form: aBool},
	{Name: "stream_options", Support: Exact, form: anObject, apply: keep("stream_options")},
	{Name: "background", Support: Exact, form: aBool, Note: "Needs store."},
	{Name: "store", Support: Exact, form: aBool, Note: "Kept here, not by the upstream."},
	{Name: "metadata", Support: Exact, form: anObject, Note: "Kept here; the upstream is not told."},
	{Name: "include", Support: Exact, form: aList, apply: (*translation).include, Note: "message.output_text.logprobs; the others have no effect."},
	{Name: "tools", Support: Exact, form: aList, apply: (*translation).tools, Note: "function and custom; OpenAI's hosted tools are refused."},
	{Name: "tool_choice", Support: Exact, form: aChoice, apply: (*translation).toolChoice},
	{Name: "text", Support: Exact, form: anObject, apply: (*translation).text, Note: "format becomes response_format, verbosity stays."},
	{Name: "reasoning", Support: Passed, form: anObject, apply: (*translation).reasoning, Note: "effort becomes reasoning_effort; summary has no effect."},
	{Name: "max_output_tokens", Support: Passed, form: anInt, apply: keep("max_completion_tokens"), Note: "Sent as max_completion_tokens."},
	{Name: "temperature", Support: Passed, form: aNumber, apply: keep("temperature")},
	{Name: "top_p", Support: Passed, form: aNumber, apply: keep("top_p")},
	{Name: "top_logprobs", Support: Passed, form: anInt, apply: (*translation).topLogprobs},
	{Name: "parallel_tool_calls", Support: Passed, form: aBool, apply: keep("parallel_tool_calls")},
	{Name: "user", Support: Passed, form: aText, apply: keep("user")},
	{Name: "safety_identifier", Support: Passed, form: aText, apply: keep("safety_identifier")},
	{Name: "service_tier", Support: Passed, form: aText, apply: keep("service_tier")},
	{Name: "prompt_cache_key", Support: Passed, form: aText, apply: keep("prompt_cache_key")},
	{Name: "prompt_cache_options", Support: Passed, form: anObject, apply: keep("prompt_cache_options")},
	{Name: "prompt_cache_retention", Support: Passed, form: aText, apply: keep("prompt_cache_retention")},
	{Name: "truncation", Support: Unsupported, form: aText, Note: "Accepted without effect: nothing is ever left out."},
	{Name: "max_tool_calls", Support: Unsupported, form: anInt, Note: "Accepted without effect: it bounds hosted tools, which there are none of."},
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
