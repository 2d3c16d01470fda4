// Package request reads what a client submits. It promises that what it accepts can be stored, streamed and sent to an
// upstream as it is, byte for byte, and that what it refuses is named: every error carries the path of the field at
// fault. What a parameter means is left to the upstream; parameters it does not know pass through.
package request

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// Limits on a submitted body. Larger bodies are refused before they are read whole.
const (
	MaxBytes         = 10 << 20 // of the whole body
	MaxDepth         = 64       // of nested arrays and objects
	MaxModel         = 256      // bytes of the model's name
	MaxMetadata      = 16       // pairs
	MaxMetadataKey   = 64       // characters
	MaxMetadataValue = 512      // characters
	MaxKey           = 255      // bytes of an idempotency key
)

// MaxTimeout is the longest time that a job may take, from its submission to its end.
const MaxTimeout = 7 * 24 * time.Hour

// Job is what POST /v1/jobs takes.
type Job struct {
	Endpoint completion.Endpoint // default chat completions
	Request  json.RawMessage     // a body of that endpoint
	Model    string              // as the body names it
	Lane     completion.Lane     // default interactive
	Metadata map[string]string   // nil if there is none
	Deadline time.Time           // the job must have ended by then; zero if nothing is said
}

// Object reads a body that must be a JSON object. Its errors are of type *completion.Error.
func Object(body []byte) (gjson.Result, error) { return object(body, "body") }

// Line is Object for a line of a file.
func Line(line []byte) (gjson.Result, error) { return object(line, "line") }

func object(text []byte, noun string) (gjson.Result, error) {
	if err := wellFormed(text, noun); err != nil {
		return gjson.Result{}, err
	}
	root := gjson.ParseBytes(text)
	if !root.IsObject() {
		return gjson.Result{}, completion.Invalid("", "The %s must be a JSON object.", noun)
	}
	return root, nil
}

// Parse reads and checks a whole body. native says of a model whether its upstreams are asked for Responses as such. Its errors
// are of type *completion.Error.
func Parse(body []byte, native func(model string) bool) (Job, error) {
	root, err := Object(body)
	if err != nil {
		return Job{}, err
	}
	job := Job{Lane: completion.LaneInteractive, Endpoint: completion.EndpointChat}
	seen := map[string]bool{}
	root.ForEach(func(k, v gjson.Result) bool {
		if seen[k.Str] {
			err = completion.Invalid(k.Str, "The field %q is given twice.", k.Str)
			return false
		}
		seen[k.Str] = true
		err = job.field(k.Str, v)
		return err == nil
	})
	if err == nil && !seen["request"] {
		err = completion.Invalid("request", "The field \"request\" is required: a chat completion body with model and messages.")
	}
	if err == nil {
		err = job.check(gjson.ParseBytes(job.Request), native)
	}
	return job, err
}

// check checks the request, and takes the model from it.
func (j *Job) check(request gjson.Result, native func(model string) bool) (err error) {
	if j.Endpoint == completion.EndpointResponses {
		j.Model, err = Response(request, "request", native(request.Get("model").Str))
	} else {
		j.Model, err = Check(j.Endpoint, request, "request")
	}
	return err
}

func (j *Job) field(name string, v gjson.Result) (err error) {
	switch name {
	case "request":
		j.Request = json.RawMessage(v.Raw)
	case "endpoint":
		if v.Type == gjson.Null {
			return nil
		}
		j.Endpoint = completion.Endpoint(v.Str)
		if v.Type != gjson.String || !slices.Contains(completion.Endpoints, j.Endpoint) {
			err = completion.Invalid("endpoint", "The endpoint must be one of %s.", completion.EndpointNames())
		}
	case "lane":
		if v.Type == gjson.Null {
			return nil
		}
		j.Lane = completion.Lane(v.Str)
		if v.Type != gjson.String || !j.Lane.Valid() {
			err = completion.Invalid("lane", "The lane must be %q or %q.", completion.LaneInteractive, completion.LaneBatch)
		}
	case "metadata":
		j.Metadata, err = Metadata(v, "metadata")
	case "timeout", "deadline":
		err = j.limit(name, v)
	default:
		err = completion.Invalid(name, "The field %q is unknown; there are request, endpoint, lane, metadata, timeout and deadline.", Shorten(name))
	}
	return err
}

// limit reads timeout, in seconds from now, or deadline, a time (RFC 3339).
func (j *Job) limit(name string, v gjson.Result) error {
	if v.Type == gjson.Null {
		return nil
	}
	if !j.Deadline.IsZero() {
		return completion.Invalid(name, "A job may have a timeout or a deadline, not both.")
	}
	now := time.Now()
	switch at, err := time.Parse(time.RFC3339Nano, v.Str); {
	case name == "timeout" && v.Type == gjson.Number && v.Num > 0 && v.Num <= MaxTimeout.Seconds():
		j.Deadline = now.Add(time.Duration(v.Num * float64(time.Second)))
	case name == "timeout":
		return completion.Invalid(name, "The timeout must be a number of seconds above 0 and up to %.0f.", MaxTimeout.Seconds())
	case v.Type != gjson.String || err != nil:
		return completion.Invalid(name, "The deadline must be a time as in RFC 3339, for instance 2030-01-02T15:04:05Z.")
	case !at.After(now):
		return completion.Invalid(name, "The deadline has passed.")
	case at.Sub(now) > MaxTimeout:
		return completion.Invalid(name, "The deadline may be at most %.0f hours ahead.", MaxTimeout.Hours())
	default:
		j.Deadline = at
	}
	return nil
}

// Metadata reads a caller's own labels, found at path at; nil for null.
func Metadata(v gjson.Result, at string) (map[string]string, error) {
	if v.Type == gjson.Null { // also: it is not there
		return nil, nil
	}
	if !v.IsObject() {
		return nil, completion.Invalid(at, "Metadata must be an object of strings.")
	}
	pairs := map[string]string{}
	var err error
	v.ForEach(func(k, v gjson.Result) bool {
		switch path := join(at, k.Str); {
		case v.Type != gjson.String:
			err = completion.Invalid(path, "A metadata value must be a string.")
		case k.Str == "" || utf8.RuneCountInString(k.Str) > MaxMetadataKey:
			err = completion.Invalid(path, "A metadata key must have 1 to %d characters.", MaxMetadataKey)
		case utf8.RuneCountInString(v.Str) > MaxMetadataValue:
			err = completion.Invalid(path, "A metadata value may have at most %d characters.", MaxMetadataValue)
		}
		pairs[k.Str] = v.Str
		return err == nil
	})
	if err == nil && len(pairs) > MaxMetadata {
		err = completion.Invalid(at, "At most %d pairs of metadata are allowed.", MaxMetadata)
	}
	return pairs, err
}

// Key checks an idempotency key: 1 to MaxKey printable ASCII characters; "" means none.
func Key(key string) error {
	if len(key) > MaxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return completion.Invalid("Idempotency-Key", "An idempotency key must have 1 to %d printable ASCII characters.", MaxKey)
	}
	return nil
}

// Shorten is s as an error may quote it: at most 64 bytes of it.
func Shorten(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}

// JSON checks that a Content-Type names JSON; none at all is taken for it.
func JSON(contentType string) error {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if media == "" || media == "application/json" || strings.HasSuffix(media, "+json") {
		return nil
	}
	return completion.NewError(completion.CodeMediaType, "")
}
