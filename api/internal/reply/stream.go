package reply

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"math"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// View is how somebody wants to see a response's stream.
type View struct {
	After       int64 // the number of the last event that is not wanted again; -1: all are wanted
	Obfuscation bool  // deltas get a member that hides their length
	// Load gets the job from the store. It is called for a final event without a result, which may have been too large.
	Load func(context.Context) (completion.Job, error)
}

// Stream turns a job's records into the events that one viewer sees. It is for one goroutine.
//
// Numbers count from 0 over all that the log ever said, whoever watches. An attempt that follows one which was heard says
// nothing while it repeats that one, and goes on from there. One that says something else opens a new era: its events, from
// response.created on, follow an error event with the code stream_diverged, the last number of the era before. A viewer who
// was told something of an earlier era gets that error and no more; others see the latest era only.
//
// A log that does not begin with its first record no longer tells which number an event had: a viewer who resumes gets the
// response's last event only, and others get the whole, made of what there is.
//
// A response that was cancelled ends with response.failed, whose response has the status cancelled: the types have no event
// of its own, and their readers refuse events that they do not know.
type Stream struct {
	job  completion.Job
	view View

	from     int64 // the first number that the viewer gets
	next     int64 // the next event's number
	era      int64 // the first number of the latest era
	opened   bool  // response.created was said
	begun    bool  // response.in_progress was said
	lastOnly bool  // the numbers are lost
	done     bool

	said   *output // of this era
	now    *output // of this attempt; nil before one has started
	inStep bool    // now has all that was said
	events []Event

	relay
}

// Join returns the stream of a viewer of job, whose log had the records of past when he came. Its errors are those of past
// and of view.Load.
func Join(ctx context.Context, job completion.Job, view View, past iter.Seq2[completion.Record, error]) (*Stream, error) {
	dry, whole := newStream(job, View{After: -1, Load: view.Load}), true
	dry.from = math.MaxInt64
	dry.Open()
	for record, err := range past {
		if err == nil {
			whole = whole && (dry.now != nil || record.Seq == 1)
			_, err = dry.Add(ctx, record)
		}
		if err != nil {
			return nil, err
		}
	}
	s := newStream(job, view)
	s.from = view.After + 1
	switch {
	case s.from >= dry.era:
	case view.After < 0:
		s.from = dry.era
	case whole:
		s.from = dry.era - 1
		s.next = s.from
		s.diverge()
	}
	return s, nil
}

func newStream(job completion.Job, view View) *Stream {
	return &Stream{job: job, view: view, said: &output{}}
}

// Done reports whether the last event has been returned.
func (s *Stream) Done() bool { return s.done }

// Open returns what there is to see before the log's first record.
func (s *Stream) Open() []Event {
	if !s.done && s.background() {
		s.create(completion.Queued)
		s.respond("response.queued", s.as(completion.Queued))
	}
	return s.take()
}

// Add returns the events that record means. Records are added from the log's first one on, without gaps but those of the
// log itself.
func (s *Stream) Add(ctx context.Context, record completion.Record) ([]Event, error) {
	if s.done {
		return nil, nil
	}
	if s.now == nil && record.Seq != 1 && s.view.After >= 0 {
		s.lastOnly = true
	}
	if s.lastOnly && !record.Type.Final() {
		return nil, nil
	}
	e, err := record.Event()
	if err != nil {
		return nil, err
	}
	switch {
	case e.Type == completion.EventStarted:
		s.start()
	case e.Type == completion.EventDelta && s.now != nil:
		for _, chunk := range e.Chunks {
			s.chunk(chunk)
		}
	case e.Type.Final():
		err = s.end(ctx, e)
	}
	return s.take(), err
}

// chunk says what a chunk adds.
func (s *Stream) chunk(chunk json.RawMessage) {
	switch {
	case answer.Native(chunk):
		s.pass(chunk)
		return
	case s.passed:
		s.renew()
	}
	if s.now.add(chunk); s.hear() && !s.done {
		s.tell(false)
	}
}

func (s *Stream) take() []Event {
	list := s.events
	s.events = nil
	return list
}

// start begins an attempt.
func (s *Stream) start() {
	s.create(completion.Running)
	if !s.begun {
		s.begun = true
		s.respond("response.in_progress", s.as(completion.Running))
	}
	s.now, s.inStep = &output{}, false
	s.relay = relay{passed: s.passed}
}

func (s *Stream) create(state completion.State) {
	if !s.opened {
		s.opened = true
		s.respond(created, s.as(state))
	}
}

// hear compares the attempt with what was said, opening a new era if they differ, and reports whether it can be told.
func (s *Stream) hear() bool {
	if s.inStep {
		return true
	}
	covers, agrees := s.now.follows(s.said)
	if !agrees {
		s.renew()
		covers = true
	}
	s.inStep = covers
	return covers
}

// renew opens a new era.
func (s *Stream) renew() {
	if s.from <= s.next {
		s.diverge()
		return
	}
	s.next++
	s.era, s.said, s.opened, s.begun, s.passed = s.next, &output{}, false, false, false
	now := s.now
	s.start()
	s.now = now
}

// follows compares an attempt with what was said before: agrees while neither says what the other does not, and covers
// once all that was said has been said again.
func (o *output) follows(said *output) (covers, agrees bool) {
	covers = true
	for _, before := range said.items {
		it := o.find(before.kind, before.nth)
		if it == nil {
			covers = false
			continue
		}
		if it.name != before.name && it.name != "" || it.callID != before.callID && it.callID != "" {
			return false, false
		}
		covers = covers && it.name == before.name && it.callID == before.callID
		for _, heard := range before.parts {
			p := it.find(heard.kind)
			if p == nil {
				covers = false
				continue
			}
			n := min(len(p.text), len(heard.text))
			if !bytes.Equal(p.text[:n], heard.text[:n]) {
				return false, false
			}
			covers = covers && n == len(heard.text)
		}
	}
	return covers, true
}

// diverge ends the stream of a viewer who was told what no longer holds.
func (s *Stream) diverge() {
	s.emit(errorEvent, func(h head) any { return failedEvent{head: h, Code: completion.CodeDiverged, Message: divergedHow} })
	s.done = true
}

// end says what is missing of the result, closes what is open, and ends the response.
func (s *Stream) end(ctx context.Context, e completion.Event) error {
	job, err := s.ended(ctx, e)
	if err != nil {
		return err
	}
	if s.lastOnly {
		s.next = s.view.After + 1
	} else if s.say(job); s.done {
		return nil
	}
	kind := "response.failed"
	if status, _ := stand(job); status == completed || status == incomplete {
		kind = "response." + status
		s.close(ending(job))
	}
	s.respond(kind, job)
	s.done = true
	return nil
}

// say makes what was said agree with the result. An interrupted answer may have less to keep than what an earlier attempt
// said; readers take the output of the last event then.
func (s *Stream) say(job completion.Job) {
	s.create(completion.Running)
	if job.Attempt > 0 && !s.begun {
		s.start()
	}
	if answer.IsResponse(job.Result) {
		s.sayNative(job)
		return
	}
	s.now, s.inStep = read(job), false
	covers, agrees := s.now.follows(s.said)
	if !agrees || (!covers || s.passed) && job.State == completion.Completed {
		s.renew()
		covers = true
	}
	if covers && !s.done {
		s.tell(true)
	}
}

// ended is the job as the final event e has it.
func (s *Stream) ended(ctx context.Context, e completion.Event) (completion.Job, error) {
	job := s.job
	job.State, job.Attempt, job.Usage, job.FinishReason, job.Error, job.FinishedAt = completion.State(e.Type), e.Attempt, e.Usage, e.FinishReason, e.Error, e.At
	job.Result = e.Result
	if e.Type != completion.EventCompleted {
		job.Result = e.Partial
	}
	if len(job.Result) > 0 || s.view.Load == nil {
		return job, nil
	}
	return s.view.Load(ctx)
}
