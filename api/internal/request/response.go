package request

import (
	"cmp"
	"encoding/json"
	"errors"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/response"
)

// Response checks a body of the Responses endpoint, found at path at, that stands alone: nothing is put before its input,
// and nobody waits for its answer there. native says that its upstreams are asked for Responses as such. It returns the model
// that the body names.
func Response(body gjson.Result, at string, native bool) (model string, err error) {
	if !body.IsObject() {
		return "", completion.Invalid(at, "The %s must be a JSON object with model and input.", cmp.Or(at, "body"))
	}
	err = alone(body)
	if err == nil {
		err = Whole(json.RawMessage(body.Raw), native)
	}
	var e *completion.Error
	if errors.As(err, &e) && at != "" {
		e.Param = under(at, e.Param)
	}
	return body.Get("model").Str, err
}

// Whole checks a body of the Responses endpoint that has all that comes before its input.
func Whole(body json.RawMessage, native bool) (err error) {
	if native {
		err = response.CheckNative(body)
	} else {
		_, err = response.Chat(body)
	}
	if err == nil {
		err = checkModel(gjson.GetBytes(body, "model"), "model")
	}
	return err
}

// alone refuses what refers to other responses.
func alone(body gjson.Result) error {
	for _, name := range []string{"previous_response_id", "conversation"} {
		if v := body.Get(name); v.Exists() && v.Type != gjson.Null {
			return completion.Invalid(name, "The parameter %q is not allowed here: the request must hold all that the answer follows.", name)
		}
	}
	if ids := response.References(json.RawMessage(body.Raw)); len(ids) > 0 {
		return completion.Invalid("input", "The input refers to the item %q of another response, which is not allowed here: send the item itself.", Shorten(ids[0]))
	}
	return nil
}

// under puts a path below another.
func under(at, path string) string {
	if path == "" {
		return at
	}
	return at + "." + path
}
