package request

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// kind is what a well-known parameter must be; null is allowed everywhere.
type kind string

const (
	aString  kind = "a string"
	aNumber  kind = "a number"
	anInt    kind = "an integer"
	aBool    kind = "a boolean"
	anArray  kind = "an array"
	anObject kind = "an object"
)

// parameters are checked early because an upstream would refuse them anyway, later and less clearly. What is not
// listed passes through.
var parameters = map[completion.Endpoint]map[string]kind{
	completion.EndpointChat: {
		"frequency_penalty": aNumber, "presence_penalty": aNumber, "temperature": aNumber, "top_p": aNumber,
		"max_tokens": anInt, "max_completion_tokens": anInt, "n": anInt, "seed": anInt, "top_logprobs": anInt,
		"logprobs": aBool, "parallel_tool_calls": aBool, "store": aBool, "stream": aBool,
		"tools": anArray, "functions": anArray, "modalities": anArray,
		"logit_bias": anObject, "response_format": anObject, "stream_options": anObject, "metadata": anObject, "audio": anObject,
		"user": aString, "service_tier": aString, "reasoning_effort": aString, "verbosity": aString,
		"safety_identifier": aString, "prompt_cache_key": aString, "prediction": anObject, "web_search_options": anObject,
	},
	completion.EndpointCompletions: {
		"frequency_penalty": aNumber, "presence_penalty": aNumber, "temperature": aNumber, "top_p": aNumber,
		"best_of": anInt, "logprobs": anInt, "max_tokens": anInt, "n": anInt, "seed": anInt,
		"echo": aBool, "stream": aBool, "logit_bias": anObject, "stream_options": anObject, "suffix": aString, "user": aString,
	},
	completion.EndpointEmbeddings: {"dimensions": anInt, "encoding_format": aString, "user": aString},
}

// content is the parameter that holds what an endpoint works on.
var content = map[completion.Endpoint]string{
	completion.EndpointChat: "messages", completion.EndpointCompletions: "prompt", completion.EndpointEmbeddings: "input",
}

// Endpoints are those whose bodies Check knows.
func Endpoints() []completion.Endpoint {
	return slices.DeleteFunc(slices.Clone(completion.Endpoints), func(e completion.Endpoint) bool { return content[e] == "" })
}

func (k kind) fits(v gjson.Result) bool {
	switch k {
	case aString:
		return v.Type == gjson.String
	case aNumber:
		return v.Type == gjson.Number
	case anInt:
		return v.Type == gjson.Number && !strings.ContainsAny(v.Raw, ".eE")
	case aBool:
		return v.IsBool()
	case anArray:
		return v.IsArray()
	default:
		return v.IsObject()
	}
}

// Check checks a body of one of Endpoints, found at path at, and returns the model that it names.
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
			err = completion.Invalid(path, "The parameter %q is given twice.", shorten(name))
		case name == "model":
			model = v.Str
			err = checkModel(v, path)
		case name == content[e]:
			err = checkContent(name, v, path)
		case known && v.Type != gjson.Null && !want.fits(v):
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
		return completion.Invalid(join(path, "include_usage"), "The parameter \"include_usage\" must be %s.", aBool)
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
		return shorten(name)
	}
	return at + "." + shorten(name)
}
