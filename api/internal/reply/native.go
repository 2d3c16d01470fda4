package reply

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// relay is what a stream knows of upstreams that speak Responses themselves, whose events it passes on.
type relay struct {
	pieces  answer.Fragments
	passed  bool // events were passed on in this era
	passing bool // by the latest attempt
	over    bool // the latest attempt's upstream has ended its response
}

// pass passes an event on, but for those about the response itself, which are said in the service's words. The items of two
// attempts have different ids, so one that follows another which was heard opens a new era.
func (s *Stream) pass(chunk json.RawMessage) {
	event, whole := s.pieces.Join(chunk)
	if !whole {
		return
	}
	v := gjson.ParseBytes(event)
	kind := v.Get("type").Str
	if v.Get("response").IsObject() {
		s.over = s.over || kind == "response."+completed || kind == "response."+incomplete
		return
	}
	if !s.passing && (s.passed || len(s.said.items) > 0) {
		s.renew()
	}
	if s.done {
		return
	}
	s.passed, s.passing = true, true
	s.emit(kind, func(h head) any { return relayed(h, v, s.view.Obfuscation) })
}

// relayed is an upstream's event with a number of this stream.
func relayed(h head, event gjson.Result, pad bool) json.RawMessage {
	b := encode(h)
	b = b[:len(b)-1]
	event.ForEach(func(k, v gjson.Result) bool {
		if k.Str != "type" {
			b = append(append(append(append(b, ','), k.Raw...), ':'), v.Raw...)
		}
		return true
	})
	if delta := event.Get("delta"); pad && delta.Type == gjson.String {
		b = append(append(b, `,"obfuscation":`...), encode(obfuscate(json.RawMessage(delta.Raw)))...)
	}
	return append(b, '}')
}

// sayNative is say for a result that is a Response. What was passed on as it came needs nothing more.
func (s *Stream) sayNative(job completion.Job) {
	switch {
	case s.passing && (s.over || job.State != completion.Completed):
		return
	case !s.passed && len(s.said.items) == 0:
	case job.State == completion.Completed:
		s.renew()
	default:
		return
	}
	for _, chunk := range answer.Restate(job.Result) {
		s.pass(chunk)
	}
}

// ours are the members of a Response that the service knows better than its upstream.
const ours = " id object created_at completed_at status background error incomplete_details instructions output previous_response_id store tools usage metadata conversation "

// overlay renders a Response of an upstream as the service's: with what the upstream says of its own in the place of what
// the service assumes.
func overlay(base, upstream json.RawMessage) json.RawMessage {
	said := gjson.ParseBytes(upstream)
	b, own := []byte{'{'}, map[string]bool{}
	add := func(k, v gjson.Result) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, k.Raw...), ':'), v.Raw...)
	}
	theirs := func(name string) bool { return !strings.Contains(ours, " "+name+" ") }
	gjson.ParseBytes(base).ForEach(func(k, v gjson.Result) bool {
		own[k.Str] = true
		if other := said.Get(gjson.Escape(k.Str)); other.Exists() && theirs(k.Str) {
			v = other
		}
		add(k, v)
		return true
	})
	said.ForEach(func(k, v gjson.Result) bool {
		if !own[k.Str] && theirs(k.Str) {
			add(k, v)
		}
		return true
	})
	return append(b, '}')
}

// nativeOutput are the items of a Response.
func nativeOutput(result json.RawMessage) []json.RawMessage {
	items := none
	gjson.GetBytes(result, "output").ForEach(func(_, v gjson.Result) bool {
		items = append(items, json.RawMessage(v.Raw))
		return true
	})
	return items
}
