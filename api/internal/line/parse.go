package line

import (
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"

	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// parse reads and checks a line by itself. Its errors are of type *Fault.
func (l *Line) parse(text []byte, e completion.Endpoint) error {
	root, err := request.Line(text)
	if err != nil {
		return faultOf(l.Number, err)
	}
	members, twice := members(root)
	if id := members["custom_id"]; id.Type == gjson.String && len(id.Str) <= completion.MaxCustomID {
		l.CustomID = id.Str
	}
	f := l.envelope(members, e)
	if twice != "" {
		f = newFault(l.Number, CodeInvalid, twice, "The member %q is given twice.", twice)
	}
	if f == nil {
		l.Body = json.RawMessage(members["body"].Raw)
		f = l.body(members["body"], e)
	}
	if f != nil {
		f.CustomID = l.CustomID
		return f
	}
	return nil
}

// envelope are the members of a line, in the order in which they are checked.
var envelope = []string{"custom_id", "method", "url", "body"}

// members returns those of a line that mean something, and the name of one that is given twice.
func members(root gjson.Result) (map[string]gjson.Result, string) {
	found, twice := map[string]gjson.Result{}, ""
	root.ForEach(func(k, v gjson.Result) bool {
		for _, name := range envelope {
			if _, again := found[name]; k.Str == name && again {
				twice = name
			}
			if k.Str == name {
				found[name] = v
			}
		}
		return true
	})
	return found, twice
}

// envelope checks what is around the body; nil if that is as it should be.
func (l *Line) envelope(members map[string]gjson.Result, e completion.Endpoint) *Fault {
	for _, name := range envelope {
		if v := members[name]; v.Type == gjson.Null { // also: it is not there
			return newFault(l.Number, CodeMissing, name, "The member %q is required.", name)
		}
	}
	id, method, url := members["custom_id"], members["method"], members["url"]
	switch {
	case id.Type != gjson.String || id.Str == "" || len(id.Str) > completion.MaxCustomID:
		return newFault(l.Number, CodeCustomID, "custom_id", "The custom_id must be a string of 1 to %d bytes.", completion.MaxCustomID)
	case method.Type != gjson.String || method.Str != http.MethodPost:
		return newFault(l.Number, CodeMethod, "method", "The method must be \"POST\".")
	case url.Type != gjson.String || url.Str != string(e):
		return newFault(l.Number, CodeURL, "url", "The url must be the endpoint of the batch, %q.", e)
	case !members["body"].IsObject():
		return newFault(l.Number, CodeInvalid, "body", "The body must be a JSON object.")
	case len(members["body"].Raw) > request.MaxBytes:
		return newFault(l.Number, CodeTooLarge, "body", "The body is larger than %d bytes.", request.MaxBytes)
	}
	return nil
}

// body checks the body with what its endpoint says of it, save for what depends on the model; nil if that is as it should be.
func (l *Line) body(body gjson.Result, e completion.Endpoint) *Fault {
	l.Model = body.Get("model").Str
	var err error
	if e != completion.EndpointResponses {
		_, err = request.Check(e, body, "body")
	}
	for _, name := range []string{"stream", "background"} {
		only := name == "stream" || e == completion.EndpointResponses // others do not know of a background
		if v := body.Get(name); err == nil && only && v.Type != gjson.Null && v.Type != gjson.False {
			err = completion.Invalid("body."+name, "The parameter %q is not allowed in a batch, unless it is false.", name)
		}
	}
	if err == nil && body.Get("stream_options").IsObject() {
		err = completion.Invalid("body.stream_options", "The parameter \"stream_options\" is only allowed when \"stream\" is true, which it cannot be in a batch.")
	}
	if err == nil && (e == completion.EndpointChat || e == completion.EndpointResponses) {
		l.Metadata, err = request.Metadata(body.Get("metadata"), "body.metadata")
	}
	if err != nil {
		return faultOf(l.Number, err)
	}
	return nil
}
