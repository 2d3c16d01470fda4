package request

import (
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

// settings are the members of completion.Parameters.
var settings = map[string]form.Form{
	"model": form.Text, "temperature": form.Number, "top_p": form.Number, "presence_penalty": form.Number, "frequency_penalty": form.Number,
	"stop": form.List, "max_completion_tokens": form.Int, "seed": form.Int, "reasoning_effort": form.Text,
	"context_messages": form.Int, "context_tokens": form.Int,
}

// Parameters reads how the turns of a conversation are to be answered, found at path at.
func Parameters(v gjson.Result, at string) (p completion.Parameters, err error) {
	if !v.IsObject() {
		return p, completion.Invalid(at, "Parameters must be an object.")
	}
	known := make(map[string]func(v gjson.Result) error, len(settings))
	for name, want := range settings {
		known[name] = func(v gjson.Result) error { return setting(&p, name, join(at, name), want, v) }
	}
	if err = members(v, at, known); err != nil {
		return completion.Parameters{}, err
	}
	if err = p.Validate(at); err != nil {
		return completion.Parameters{}, err
	}
	return p, nil
}

// setting reads one of them into p.
func setting(p *completion.Parameters, name, path string, want form.Form, v gjson.Result) error {
	if !want.Fits(v) {
		return completion.Invalid(path, "The parameter %q must be %s.", name, want)
	}
	if name == "stop" {
		for i, stop := range v.Array() {
			if stop.Type != gjson.String {
				return completion.Invalid(path+"["+strconv.Itoa(i)+"]", "A stop must be a string.")
			}
		}
		p.Stop = []string{}
	}
	if err := json.Unmarshal([]byte(`{"`+name+`":`+v.Raw+`}`), p); err != nil {
		return completion.Invalid(path, "The parameter %q is out of range.", name).Because(err)
	}
	return nil
}

// ParseParameters is Parameters for a JSON text of its own; none at all says nothing.
func ParseParameters(text, at string) (completion.Parameters, error) {
	if text == "" {
		return completion.Parameters{}, nil
	}
	root, err := object([]byte(text), "text")
	if err != nil {
		return completion.Parameters{}, err
	}
	return Parameters(root, at)
}
