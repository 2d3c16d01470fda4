package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

var (
	errNotEvent = errors.New("data is not an event of a response's stream")
	errUnended  = errors.New("the stream ended before its response")
)

// prepareNative returns the body of a response for an upstream that speaks Responses: request as it is, save that it streams,
// and that the upstream keeps nothing. What the caller would have had kept is kept by the service, which has put the history
// before the input: members that refer to what an upstream would keep are left out, and so are reasoning items without
// encrypted_content, which say nothing to one that has not kept them, and the ids that the service made up for items.
func prepareNative(request json.RawMessage) ([]byte, error) {
	root := gjson.ParseBytes(request)
	if !json.Valid(request) || !root.IsObject() {
		return nil, completion.NewError(completion.CodeInvalidJSON, "")
	}
	body := append(make([]byte, 0, len(request)+64), '{')
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.String() {
		case "previous_response_id", "conversation", "background", "store", "stream":
			return true
		case "input":
			if v.IsArray() {
				body = append(appendInput(append(body, `"input":[`...), v), `],`...)
				return true
			}
		}
		body = appendMember(body, k, v)
		return true
	})
	return append(body, `"store":false,"stream":true}`...), nil
}

// madeUp are the ids of items that came without one.
var madeUp = regexp.MustCompile(`^[a-z]*_?[0-9a-f]{32}_in[0-9]+$`)

func appendInput(b []byte, list gjson.Result) []byte {
	first := true
	list.ForEach(func(_, item gjson.Result) bool {
		if item.Get("type").Str == "reasoning" && item.Get("encrypted_content").Type != gjson.String {
			return true
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if !madeUp.MatchString(item.Get("id").Str) {
			b = append(b, item.Raw...)
			return true
		}
		b = append(b, '{')
		item.ForEach(func(k, v gjson.Result) bool {
			if k.String() != "id" {
				b = appendMember(b, k, v)
			}
			return true
		})
		b = append(bytes.TrimSuffix(b, []byte{','}), '}')
		return true
	})
	return b
}

// happening lets an event of a response's stream through, and ends the answer after the last one. Events of other kinds, with
// which some servers keep connections open, are left out.
func (f *filter) happening(event gjson.Result, chunk []byte) error {
	switch kind := event.Get("type").Str; {
	case f.errorEvent, kind == "error", event.Get("object").Str == "error", kind == "" && truthyMember(event, "error"):
		return f.classify(parseFault(chunk))
	case kind == "response.failed":
		return f.classify(parseFault([]byte(event.Get("response").Raw)))
	case kind == "":
		return garbage(errNotEvent)
	case !strings.HasPrefix(kind, "response."):
		return nil
	case kind == "response.completed", kind == "response.incomplete":
		if !event.Get("response").IsObject() {
			return garbage(errNotEvent)
		}
		f.progress.chunks++
		f.out, f.done = chunk, true
		return io.EOF
	}
	f.progress.chunks++
	f.out = chunk
	return nil
}

// wholeResponse lets a Response through that came in one piece.
func (f *filter) wholeResponse(response gjson.Result) error {
	status := response.Get("status").Str
	if response.Get("object").Str != "response" || status != "completed" && status != "incomplete" {
		return garbage(errNotEvent)
	}
	event := clean([]byte(`{"type":"response.` + status + `","response":` + response.Raw + `}`))
	return f.happening(gjson.ParseBytes(event), event)
}
