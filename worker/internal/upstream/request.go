package upstream

import (
	"encoding/json"

	"sluice/shared/completion"
	"sluice/shared/response"

	"github.com/tidwall/gjson"
)

// prepare returns the body that is sent for request, with stream true and stream_options.include_usage true if the endpoint
// streams, and how many choices it asks for. Upstreams are asked for the chat completion that means the same as a response, or
// for the response itself if they are native; see prepareNative.
// All other members keep their bytes and their order, also those that appear twice; stream and stream_options move to the
// end, and the last one counts where there are several.
func prepare(e completion.Endpoint, native bool, request json.RawMessage) (body []byte, choices int, err error) {
	if native {
		body, err = prepareNative(request)
		return body, 0, err
	}
	if e == completion.EndpointResponses {
		if request, err = response.Chat(request); err != nil {
			return nil, 0, err
		}
	}
	root := gjson.ParseBytes(request)
	if !json.Valid(request) || !root.IsObject() {
		return nil, 0, completion.NewError(completion.CodeInvalidJSON, "")
	}
	if !e.Streams() {
		return request, 0, nil
	}
	prompts := 1
	body, choices = append(make([]byte, 0, len(request)+64), '{'), 1
	var options gjson.Result
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.String() {
		case "stream":
			return true
		case "stream_options":
			options = v
			return true
		case "n":
			choices = max(1, int(v.Int()))
		case "prompt":
			if e == completion.EndpointCompletions {
				prompts = countPrompts(v)
			}
		}
		body = appendMember(body, k, v)
		return true
	})
	body = append(body, `"stream":true,"stream_options":{`...)
	if options.IsObject() {
		options.ForEach(func(k, v gjson.Result) bool {
			if k.String() != "include_usage" {
				body = appendMember(body, k, v)
			}
			return true
		})
	}
	return append(body, `"include_usage":true}}`...), choices * prompts, nil
}

// countPrompts is how many prompts a text completion has: a list of texts or of lists of tokens holds several.
func countPrompts(v gjson.Result) int {
	if first := v.Get("0"); first.Type == gjson.String || first.IsArray() {
		return int(v.Get("#").Int())
	}
	return 1
}

func appendMember(b []byte, k, v gjson.Result) []byte {
	return append(append(append(append(b, k.Raw...), ':'), v.Raw...), ',')
}
