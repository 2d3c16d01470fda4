package upstream

import (
	"encoding/json"

	"sluice/shared/completion"

	"github.com/tidwall/gjson"
)

// prepare returns request with stream true and stream_options.include_usage true, and how many choices it asks for.
// All other members keep their bytes and their order, also those that appear twice; stream and stream_options move to
// the end, and the last one counts where there are several.
func prepare(request json.RawMessage) (body []byte, choices int, err error) {
	root := gjson.ParseBytes(request)
	if !json.Valid(request) || !root.IsObject() {
		return nil, 0, completion.NewError(completion.CodeInvalidJSON, "")
	}
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
	return append(body, `"include_usage":true}}`...), choices, nil
}

func appendMember(b []byte, k, v gjson.Result) []byte {
	return append(append(append(append(b, k.Raw...), ':'), v.Raw...), ',')
}
