package reply

import (
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

func (s *Stream) background() bool { return gjson.GetBytes(s.job.Request, "background").Bool() }

// as is the job as it was in an earlier state: what all viewers see must not depend on when they look.
func (s *Stream) as(state completion.State) completion.Job {
	job := s.job
	job.State, job.Result, job.Usage, job.Error = state, nil, nil, nil
	return job
}

// emit numbers an event, and renders it if the viewer gets it.
func (s *Stream) emit(kind string, event func(head) any) {
	if s.next >= s.from && !s.done {
		s.events = append(s.events, Event{Type: kind, Number: s.next, Data: encode(event(head{kind, s.next}))})
	}
	s.next++
}

func (s *Stream) respond(kind string, job completion.Job) {
	s.emit(kind, func(h head) any { return responseEvent{h, Object(job)} })
}

// tell says what the attempt has beyond what was said. A tool call is announced once its name and id are known, or at the
// latest with its first arguments; all shows whatever is left.
func (s *Stream) tell(all bool) {
	for _, it := range s.now.items {
		told := s.said.find(it.kind, it.nth)
		if told == nil {
			if !all && !it.ready() {
				continue
			}
			told = s.announce(it)
		}
		told.name, told.callID = it.name, it.callID
		for _, p := range it.parts {
			s.grow(told, p)
		}
	}
}

// ready reports whether enough is known of the item to announce it.
func (it *item) ready() bool {
	p := it.parts[0]
	return p.kind != "" || it.name != "" && (it.callID != "" || len(p.text) > 0)
}

// announce begins an item, after those before it.
func (s *Stream) announce(it *item) *item {
	s.close(completed)
	told := s.said.item(it.kind, it.nth)
	told.name, told.callID = it.name, it.callID
	s.emit(itemAdded, func(h head) any { return itemEvent{h, told.position, told.begun(s.job.ID)} })
	return told
}

// grow says what p has beyond the part of told that was said. What was closed and grows all the same is closed again later.
func (s *Stream) grow(told *item, p *part) {
	heard := told.find(p.kind)
	if heard == nil {
		s.finish(told)
		heard = told.part(p.kind)
		if p.kind != "" {
			s.emit(partAdded, func(h head) any { return partEvent{h, s.place(told, heard), heard.begun()} })
		}
	}
	if len(p.text) == len(heard.text) {
		return
	}
	told.closed, heard.closed = false, false
	delta, fresh := quoted(p.text[len(heard.text):]), list(p.logprobs[min(len(heard.logprobs), len(p.logprobs)):])
	heard.text, heard.logprobs = p.text[:len(p.text):len(p.text)], p.logprobs[:len(p.logprobs):len(p.logprobs)]
	s.emit(tags[told.tag(p)].event+".delta", func(h head) any {
		e := deltaEvent{head: h, place: s.place(told, heard), Delta: delta}
		if p.kind == textPart {
			e.Logprobs = &fresh
		}
		if s.view.Obfuscation {
			e.Obfuscation = obfuscate(delta)
		}
		return e
	})
}

// tag is the key of tags for a part of the item.
func (it *item) tag(p *part) string {
	if p.kind == "" {
		return it.kind
	}
	return p.kind
}

func (s *Stream) place(it *item, p *part) place {
	at := place{ItemID: it.id(s.job.ID), OutputIndex: it.position}
	for i := range it.parts {
		if it.parts[i] == p && p.kind != "" {
			at.ContentIndex = &i
		}
	}
	return at
}

// close ends all items that are open, the last one with the given status.
func (s *Stream) close(status string) {
	for i, it := range s.said.items {
		if it.closed {
			continue
		}
		s.finish(it)
		it.closed = true
		end := completed
		if i == len(s.said.items)-1 {
			end = status
		}
		s.emit(itemDone, func(h head) any { return itemEvent{h, it.position, it.render(s.job.ID, end)} })
	}
}

// finish ends the parts of it that are open.
func (s *Stream) finish(it *item) {
	for _, p := range it.parts {
		if p.closed {
			continue
		}
		p.closed = true
		s.emit(tags[it.tag(p)].event+".done", func(h head) any { return it.whole(h, s.place(it, p), p) })
		if p.kind != "" {
			s.emit(partDone, func(h head) any { return partEvent{h, s.place(it, p), p.render()} })
		}
	}
}

// whole is the event that repeats all of a part's text.
func (it *item) whole(h head, at place, p *part) any {
	e, text := doneEvent{head: h, place: at}, quoted(p.text)
	switch it.tag(p) {
	case refusalPart:
		e.Refusal = text
	case functionItem:
		e.Arguments, e.Name = text, quoted(it.name)
	case customItem:
		e.Input = text
	case textPart:
		logprobs := list(p.logprobs)
		e.Text, e.Logprobs = text, &logprobs
	default:
		e.Text = text
	}
	return e
}
