package request

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/form"
)

// parameters are checked early because an upstream would refuse them anyway, later and less clearly. What is not
// listed passes through; null is allowed everywhere.
var parameters = map[completion.Endpoint]map[string]form.Form{
	completion.EndpointChat: {
		"frequency_penalty": form.Number, "presence_penalty": form.Number, "temperature": form.Number, "top_p": form.Number,
		"max_tokens": form.Int, "max_completion_tokens": form.Int, "n": form.Int, "seed": form.Int, "top_logprobs": form.Int,
		"logprobs": form.Bool, "parallel_tool_calls": form.Bool, "store": form.Bool, "stream": form.Bool,
		"tools": form.List, "functions": form.List, "modalities": form.List,
		"logit_bias": form.Object, "response_format": form.Object, "stream_options": form.Object, "metadata": form.Object, "audio": form.Object,
		"user": form.Text, "service_tier": form.Text, "reasoning_effort": form.Text, "verbosity": form.Text,
		"safety_identifier": form.Text, "prompt_cache_key": form.Text, "prediction": form.Object, "web_search_options": form.Object,
	},
	completion.EndpointCompletions: {
		"frequency_penalty": form.Number, "presence_penalty": form.Number, "temperature": form.Number, "top_p": form.Number,
		"best_of": form.Int, "logprobs": form.Int, "max_tokens": form.Int, "n": form.Int, "seed": form.Int,
		"echo": form.Bool, "stream": form.Bool, "logit_bias": form.Object, "stream_options": form.Object, "suffix": form.Text, "user": form.Text,
	},
	completion.EndpointEmbeddings: {"dimensions": form.Int, "encoding_format": form.Text, "user": form.Text},
}

// content is the parameter that holds what an endpoint works on.
var content = map[completion.Endpoint]string{
	completion.EndpointChat: "messages", completion.EndpointCompletions: "prompt", completion.EndpointEmbeddings: "input",
}

// Check checks a body of any endpoint but that of responses (see Response), found at path at, and returns the model that it names.
func Check(e completion.Endpoint, body gjson.Result, at string) (model string, err error) {
	if !body.IsObject() {
		return "", completion.Invalid(at, "The %s must be a JSON object with model and %s.", cmp.Or(at, "body"), content[e])
	}
	seen := map[string]bool{}
	body.ForEach(func(k, v gjson.Result) bool {
		name := k.Str
		path := join(at, name)
		switch want, known := parameters[e][name]; {
		case seen[name]:
			err = completion.Invalid(path, "The parameter %q is given twice.", Shorten(name))
		case name == "model":
			model = v.Str
			err = checkModel(v, path)
		case name == content[e]:
			err = checkContent(name, v, path)
		case known && v.Type != gjson.Null && !want.Fits(v):
			err = completion.Invalid(path, "The parameter %q must be %s.", name, want)
		case name == "stream_options":
			err = streamOptions(v, path)
		}
		seen[name] = true
		return err == nil
	})
	for _, name := range []string{"model", content[e]} {
		if err == nil && !seen[name] {
			err = completion.Invalid(join(at, name), "The parameter %q is required.", name)
		}
	}
	return model, err
}

// streamOptions checks what decides on the shape of our own streams.
func streamOptions(v gjson.Result, path string) error {
	if usage := v.Get("include_usage"); usage.Exists() && usage.Type != gjson.Null && !usage.IsBool() {
		return completion.Invalid(join(path, "include_usage"), "The parameter \"include_usage\" must be %s.", form.Bool)
	}
	return nil
}

func checkContent(name string, v gjson.Result, path string) error {
	switch {
	case name == "messages":
		return messages(v, path)
	case v.Type != gjson.String && !v.IsArray():
		return completion.Invalid(path, "The parameter %q must be a string or an array.", name)
	case v.IsArray() && !v.Get("0").Exists():
		return completion.Invalid(path, "The parameter %q must not be empty.", name)
	}
	return nil
}

func checkModel(v gjson.Result, path string) error {
	if v.Type != gjson.String || strings.TrimSpace(v.Str) == "" {
		return completion.Invalid(path, "The parameter \"model\" must be a string that is not empty.")
	}
	if len(v.Str) > MaxModel {
		return completion.Invalid(path, "The model's name may have at most %d bytes.", MaxModel)
	}
	return nil
}

func messages(v gjson.Result, path string) (err error) {
	if !v.IsArray() {
		return completion.Invalid(path, "The parameter \"messages\" must be an array.")
	}
	n := 0
	v.ForEach(func(_, m gjson.Result) bool {
		at := path + "[" + strconv.Itoa(n) + "]"
		role, content := m.Get("role"), m.Get("content")
		switch {
		case !m.IsObject():
			err = completion.Invalid(at, "A message must be an object with a role.")
		case role.Type != gjson.String || role.Str == "":
			err = completion.Invalid(at+".role", "A message must have a role, a string.")
		case content.Exists() && content.Type != gjson.String && content.Type != gjson.Null && !content.IsArray():
			err = completion.Invalid(at+".content", "A message's content must be a string or an array of parts.")
		}
		n++
		return err == nil
	})
	if err == nil && n == 0 {
		err = completion.Invalid(path, "The parameter \"messages\" must not be empty.")
	}
	return err
}

// join appends a member's name to a path.
func join(at, name string) string {
	if at == "" {
		return Shorten(name)
	}
	return at + "." + Shorten(name)
}
