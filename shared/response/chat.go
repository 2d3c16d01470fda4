package response

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

// translation is a chat completion body under construction.
type translation struct {
	out      object // all but model and messages
	named    string // the model, raw
	system   string // the instructions, raw
	messages messages
	logprobs bool
	top      string // top_logprobs, raw
}

// Check checks a Responses body whose history, if it has a previous response, is not there yet. Its errors are of type
// *completion.Error: invalid_json for what is no JSON, else invalid_request with the field at fault.
func Check(body json.RawMessage) error {
	_, err := translate(body)
	return err
}

// Chat returns the chat completion body for a Responses body whose history, if it has a previous response, has been put
// before its input (see Extend). Its errors are those of Check.
func Chat(body json.RawMessage) (json.RawMessage, error) {
	t, err := translate(body)
	if err != nil {
		return nil, err
	}
	return t.body()
}

func translate(body json.RawMessage) (*translation, error) {
	root := gjson.ParseBytes(body)
	if !json.Valid(body) {
		return nil, completion.NewError(completion.CodeInvalidJSON, "")
	}
	if !root.IsObject() {
		return nil, completion.Invalid("", "The body must be a JSON object with model and input.")
	}
	t, seen := &translation{}, map[string]bool{}
	var err error
	root.ForEach(func(k, v gjson.Result) bool {
		if seen[k.Str] {
			err = completion.Invalid(shorten(k.Str), "The parameter %q is given twice.", shorten(k.Str))
			return false
		}
		seen[k.Str] = true
		err = t.parameter(k, v)
		return err == nil
	})
	switch {
	case err != nil:
		return nil, err
	case t.named == "":
		return nil, completion.Invalid("model", "The parameter \"model\" is required.")
	case !seen["input"] && !seen["previous_response_id"]:
		return nil, completion.Invalid("input", "The parameter \"input\" is required.")
	}
	return t, nil
}

func (t *translation) parameter(k, v gjson.Result) error {
	p, ok := known[k.Str]
	switch {
	case !ok && moved[k.Str] != "" && v.Type != gjson.Null:
		return completion.Invalid(k.Str, "The parameter %q is not one of the Responses API; %s.", k.Str, moved[k.Str])
	case !ok && moved[k.Str] != "":
		return nil
	case !ok:
		t.out.take(k, v)
		return nil
	case v.Type == gjson.Null && k.Str != "model":
		return nil
	}
	if err := check(p.form, v, p.Name); err != nil || p.apply == nil {
		return err
	}
	return p.apply(t, v, p.Name)
}

func (t *translation) body() (json.RawMessage, error) {
	var all array
	if t.system != "" {
		all.add(`{"role":"system","content":` + t.system + `}`)
	}
	for _, m := range t.messages.all() {
		all.add(m)
	}
	if len(all.text) == 0 {
		return nil, completion.Invalid("input", "The parameter \"input\" must not be empty.")
	}
	var b object
	b.set("model", t.named)
	b.set("messages", all.String())
	if t.logprobs || t.top != "" {
		b.set("logprobs", "true")
	}
	if t.top != "" {
		b.set("top_logprobs", t.top)
	}
	if rest := t.out.String(); rest != "{}" {
		return json.RawMessage(string(b.text) + "," + rest[1:]), nil
	}
	return json.RawMessage(b.String()), nil
}

func (t *translation) model(v gjson.Result, path string) error {
	if strings.TrimSpace(v.Str) == "" {
		return completion.Invalid(path, "The parameter \"model\" must be a string that is not empty.")
	}
	t.named = v.Raw
	return nil
}

func (t *translation) instructions(v gjson.Result, _ string) error {
	if v.Str != "" {
		t.system = v.Raw
	}
	return nil
}

func (t *translation) include(v gjson.Result, path string) error {
	return each(v, path, func(v gjson.Result, at string) error {
		t.logprobs = t.logprobs || v.Str == "message.output_text.logprobs"
		return check(form.Text, v, at)
	})
}

func (t *translation) topLogprobs(v gjson.Result, path string) error {
	if v.Num < 0 || v.Num > 20 {
		return completion.Invalid(path, "The parameter \"top_logprobs\" must be from 0 to 20.")
	}
	if v.Num > 0 {
		t.top = v.Raw
	}
	return nil
}

func (t *translation) reasoning(v gjson.Result, path string) error {
	effort := v.Get("effort")
	if !effort.Exists() || effort.Type == gjson.Null {
		return nil
	}
	t.out.set("reasoning_effort", effort.Raw)
	return check(form.Text, effort, path+".effort")
}

// text reads the form of the answer.
func (t *translation) text(v gjson.Result, path string) error {
	if verbosity := v.Get("verbosity"); verbosity.Exists() && verbosity.Type != gjson.Null {
		if err := check(form.Text, verbosity, path+".verbosity"); err != nil {
			return err
		}
		t.out.set("verbosity", verbosity.Raw)
	}
	f := v.Get("format")
	if !f.Exists() || f.Type == gjson.Null {
		return nil
	}
	path += ".format"
	if err := check(form.Object, f, path); err != nil {
		return err
	}
	switch kind := f.Get("type"); kind.Str {
	case "text": // what an upstream sends anyway
	case "json_object":
		t.out.set("response_format", `{"type":"json_object"}`)
	case "json_schema":
		if err := check(form.Text, f.Get("name"), path+".name"); err != nil {
			return err
		}
		if err := check(form.Object, f.Get("schema"), path+".schema"); err != nil {
			return err
		}
		var schema object
		schema.without(f, "type")
		t.out.set("response_format", `{"type":"json_schema","json_schema":`+schema.String()+`}`)
	default:
		return completion.Invalid(path+".type", "The format must be \"text\", \"json_schema\" or \"json_object\".")
	}
	return nil
}

func shorten(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
