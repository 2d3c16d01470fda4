package openai

import (
	"strconv"

	"github.com/tidwall/gjson"

	"sluice/api/internal/raw"
	"sluice/shared/completion"
)

// object renders the answer of a completed job under the id and the time that its stream has, and with the given members.
func object(job *completion.Job, more []member) []byte {
	b := append(make([]byte, 0, len(job.Result)+256), `{"id":"`+id(job)+`"`...)
	gjson.ParseBytes(job.Result).ForEach(func(k, v gjson.Result) bool {
		if k.Str == "id" {
			return true
		}
		b = append(append(append(b, ','), k.Raw...), ':')
		switch {
		case k.Str == "created":
			b = strconv.AppendInt(b, job.CreatedAt.Unix(), 10)
		case k.Str == "choices" && v.IsArray():
			b = appendChoices(b, v, job.Endpoint == completion.EndpointCompletions)
		default:
			b = append(b, v.Raw...)
		}
		return true
	})
	return with(nil, gjson.ParseBytes(append(b, '}')), append(more, member{"created", strconv.FormatInt(job.CreatedAt.Unix(), 10)}, member{"model", raw.Quote(job.Model)}))
}

// appendChoices renders choices with the members that are null where an upstream leaves them out.
func appendChoices(b []byte, list gjson.Result, text bool) []byte {
	b = append(b, '[')
	n := 0
	list.ForEach(func(_, c gjson.Result) bool {
		if n++; n > 1 {
			b = append(b, ',')
		}
		if !text && c.IsObject() {
			message := with(nil, c.Get("message"), []member{{"refusal", "null"}})
			c = replace(c, "message", message)
		}
		b = with(b, c, []member{{"logprobs", "null"}})
		return true
	})
	return append(b, ']')
}

// replace returns the object with another value of a member.
func replace(object gjson.Result, key string, value []byte) gjson.Result {
	b := []byte{'{'}
	object.ForEach(func(k, v gjson.Result) bool {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(b, k.Raw...), ':')
		if k.Str == key {
			b = append(b, value...)
		} else {
			b = append(b, v.Raw...)
		}
		return true
	})
	return gjson.ParseBytes(append(b, '}'))
}
