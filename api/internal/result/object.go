// Package result renders what a job has answered, in one piece, as the synchronous endpoints answer it. Whoever shows the
// answer elsewhere, for instance in the output of a batch, shows the same bytes.
package result

import (
	"strconv"

	"github.com/tidwall/gjson"

	"sluice/api/internal/raw"
	"sluice/api/internal/reply"
	"sluice/shared/completion"
)

// prefixes begin the ids that clients see.
var prefixes = map[completion.Endpoint]string{
	completion.EndpointChat: "chatcmpl-", completion.EndpointCompletions: "cmpl-", completion.EndpointEmbeddings: "embd-",
	completion.EndpointResponses: reply.Prefix,
}

// Prefix begins the ids of an endpoint's answers.
func Prefix(e completion.Endpoint) string { return prefixes[e] }

// ID is the id of a job's answer, as clients see it.
func ID(job *completion.Job) string { return completion.Alias(prefixes[job.Endpoint], job.ID) }

// Of is the answer of a completed job, byte for byte what its endpoint answers a client that waits.
func Of(job *completion.Job) []byte {
	switch job.Endpoint {
	case completion.EndpointEmbeddings:
		return job.Result
	case completion.EndpointResponses:
		return reply.Object(*job)
	default:
		return Object(job, nil)
	}
}

// Object renders the answer of a completed chat or text completion under the id and the time that its stream has, and with the given members.
func Object(job *completion.Job, more []Member) []byte {
	b := append(make([]byte, 0, len(job.Result)+256), `{"id":"`+ID(job)+`"`...)
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
	return With(nil, gjson.ParseBytes(append(b, '}')), append(more, Member{"created", strconv.FormatInt(job.CreatedAt.Unix(), 10)}, Member{"model", raw.Quote(job.Model)}))
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
			message := With(nil, c.Get("message"), []Member{{"refusal", "null"}})
			c = replace(c, "message", message)
		}
		b = With(b, c, []Member{{"logprobs", "null"}})
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

// Member is one of an object's: its name, and its value as JSON.
type Member [2]string

// With appends the object with those of the members that it lacks.
func With(b []byte, object gjson.Result, members []Member) []byte {
	if !object.IsObject() {
		return append(b, object.Raw...)
	}
	b = append(b, object.Raw[:len(object.Raw)-1]...)
	empty := true
	object.ForEach(func(_, _ gjson.Result) bool { empty = false; return false })
	for _, m := range members {
		if object.Get(m[0]).Exists() {
			continue
		}
		if !empty {
			b = append(b, ',')
		}
		empty = false
		b = append(append(b, `"`+m[0]+`":`...), m[1]...)
	}
	return append(b, '}')
}
