package generate

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// maxDelta is how many bytes of chunks one delta event carries at most, unless a single chunk is larger.
const maxDelta = answer.MaxChunk

// speech is what one attempt says: the stream adds chunks on one side, on the other they are published, one event in
// flight at a time. What arrives while an event is unacknowledged travels together in the next one, so a slow log makes
// events larger, not the stream slower. Its memory is bounded by the upstream's limit on an answer.
//
// Nobody waits for the log: who adds the first chunk offers it, and the answer to an offer leads to the next one. A goroutine
// of its own is there only before a later attempt's first event, and where the log refuses: a stream waits for its upstream most of
// the time, and thousands do so at once.
//
// A quiet one says nothing, runs nothing and does not know the log, until an outcome has to be kept there: then it says
// everything, as to a log that has lost what was said.
type speech struct {
	log     Log
	ref     completion.Ref
	start   completion.Event            // the attempt's started event
	confirm func(context.Context) error // asks the store whether the attempt is still the job's latest
	quiet   bool
	begun   bool             // a quiet one has something in the log
	tail    completion.Tail  // of whoever publishes, until done is closed; nil before the first event
	ctx     context.Context  // of whoever publishes
	lost    func(error)      // see speak
	settled func(error)      // s.goOn, made once for all offers
	offered completion.Event // by whoever publishes

	mu      sync.Mutex
	answer  answer.Answer
	whole   json.RawMessage // the answer of an endpoint that does not stream
	pending []json.RawMessage
	said    []json.RawMessage // what was pending before, for its memory
	busy    bool              // somebody publishes, or nobody will any more
	first   time.Time         // when the first chunk came
	ended   bool
	kept    bool // the outcome is in the log; owned by whoever concludes the attempt

	done chan struct{} // closed when all is said, or not going to be
	err  error         // why it is not, valid after done
}

func (g *Generator) newSpeech(job *completion.Job) *speech {
	return &speech{
		log: g.events, ref: job.Ref(), done: make(chan struct{}),
		start:   completion.Event{Type: completion.EventStarted, Attempt: job.Attempt, At: time.Now(), Model: job.Model, Upstream: g.upstream.Name()},
		confirm: func(ctx context.Context) error { return g.confirm(ctx, job) },
	}
}

// keepQuiet takes the place of speak for a quiet speech.
func (s *speech) keepQuiet() {
	s.quiet = true
	close(s.done)
}

// add takes one upstream chunk, of which nothing is kept.
func (s *speech) add(chunk json.RawMessage) error {
	idle, err := s.take(chunk)
	if idle {
		s.publish()
	}
	return err
}

// take makes the chunk pending, unless nothing is to be said of it. idle: nobody publishes, so the caller does.
func (s *speech) take(chunk json.RawMessage) (idle bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = time.Now()
	}
	slim, err := s.answer.Add(chunk)
	if err != nil || slim == nil || s.quiet {
		return false, err
	}
	s.pending = answer.AppendSplit(s.pending, slim)
	idle = !s.busy
	s.busy = true
	return idle, nil
}

// set takes a whole answer, of which nothing is said before its end.
func (s *speech) set(whole json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole, s.first = slices.Clone(whole), time.Now()
}

// end says that no chunk will follow.
func (s *speech) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if !s.busy && !s.quiet {
		s.busy = true
		close(s.done)
	}
}

// speak begins to publish, and lets what is added be published until end was called and all is said, or until ctx ends.
// lost is called at once when a later attempt has the log (completion.ErrStale, I5).
func (s *speech) speak(ctx context.Context, lost func(error)) {
	s.ctx, s.lost, s.settled, s.busy = ctx, lost, s.goOn, true
	if s.start.Attempt == 1 {
		if tail, err := s.log.Begin(s.ref); err == nil {
			s.tail, s.offered = tail, s.start
			tail.Offer(ctx, &s.offered, s.started)
			return
		}
	}
	go s.insist()
}

// started publishes once the started event of a first attempt has been taken.
func (s *speech) started(err error) {
	if err == nil {
		s.publish()
		return
	}
	go s.insist()
}

// insist publishes once the log has the started event.
func (s *speech) insist() {
	if err := s.begin(s.ctx); err != nil {
		s.conclude(err)
		return
	}
	s.publish()
}

// publish offers the log what is pending. If nothing is, whoever adds something is the next to publish.
func (s *speech) publish() {
	switch chunks, idle := s.next(); {
	case len(chunks) > 0:
		s.offered = s.delta(chunks)
		s.tail.Offer(s.ctx, &s.offered, s.settled)
	case !idle:
		s.conclude(nil)
	}
}

// goOn publishes what became pending during an offer, once that is settled.
func (s *speech) goOn(err error) {
	if err == nil {
		s.publish()
		return
	}
	go func() {
		if err := s.mend(s.ctx, &completion.Event{Type: completion.EventDelta}, err); err != nil {
			s.conclude(err)
			return
		}
		s.publish()
	}()
}

// conclude says that nobody publishes any more, and why.
func (s *speech) conclude(err error) {
	s.err = err
	close(s.done)
	if errors.Is(err, completion.ErrStale) || errors.Is(err, completion.ErrFinal) {
		s.lost(err)
	}
}

// begin takes the end of the log and appends the started event, from which on earlier attempts are refused. An earlier
// attempt that gets in between is no reason to give up, a later one is. Before a first attempt nobody has said anything, so
// the log is asked only if it refuses that.
func (s *speech) begin(ctx context.Context) (err error) {
	for empty := s.start.Attempt == 1; ; empty = false {
		if empty {
			s.tail, err = s.log.Begin(s.ref)
		} else {
			err = s.open(ctx)
		}
		if err != nil {
			return err
		}
		if s.tail.Last().Attempt > s.start.Attempt {
			return completion.ErrStale
		}
		if err = s.say(ctx, &s.start); !errors.Is(err, completion.ErrStale) {
			return err
		}
	}
}

// open takes the end of the log, trying again while the log is away.
func (s *speech) open(ctx context.Context) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		tail, err := s.log.Open(ctx, s.ref)
		if err == nil {
			s.tail = tail
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// flushLimit is how long the store waits for the log, so that nobody closes the log of a stored job before its last
// deltas are in it. A log that is away longer does not hold up the result.
const flushLimit = 2 * time.Second

// flush waits until all chunks are published, but not longer than flushLimit; said tells whether they are. Its error is
// that the job has been taken.
func (s *speech) flush(ctx context.Context) (said bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	err = s.wait(ctx)
	if errors.Is(err, completion.ErrStale) || errors.Is(err, completion.ErrFinal) {
		return false, err
	}
	return err == nil, nil
}

// wait returns once everything is said, with why it could not be.
func (s *speech) wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// say appends e. If the log has lost what was said before, it says everything again from a started event on; a log that
// has lost everything cannot tell a later attempt, so the store is asked first (I5). A quiet speech begins with the outcome
// that has to be kept.
func (s *speech) say(ctx context.Context, e *completion.Event) error {
	if s.tail == nil {
		return s.breakSilence(ctx, e)
	}
	if err := s.tail.Append(ctx, *e); err != nil {
		return s.mend(ctx, e, err)
	}
	return nil
}

// mend says everything again if e was refused because the log has lost what was said before.
func (s *speech) mend(ctx context.Context, e *completion.Event, err error) error {
	if !errors.Is(err, completion.ErrLogLost) {
		return err
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	if err := s.say(ctx, &s.start); err != nil || e.Type == completion.EventStarted {
		return err
	}
	return s.recount(ctx, e)
}

// breakSilence lets a quiet speech say everything, if it has to: for an outcome that is to be kept, and at the end of an
// earlier try that the log did not take whole.
func (s *speech) breakSilence(ctx context.Context, e *completion.Event) error {
	if e.Type != completion.EventStoring && !s.begun {
		return nil
	}
	s.begun = true
	err := s.begin(ctx)
	if err == nil {
		err = s.recount(ctx, e)
	}
	if err != nil {
		s.tail = nil
	}
	return err
}

// recount says the whole answer, after the started event, and then e.
func (s *speech) recount(ctx context.Context, e *completion.Event) error {
	for _, chunk := range s.restate() {
		delta := s.delta([]json.RawMessage{chunk})
		if err := s.say(ctx, &delta); err != nil {
			return err
		}
	}
	if e.Type == completion.EventDelta {
		return nil
	}
	return s.say(ctx, e)
}

func (s *speech) delta(chunks []json.RawMessage) completion.Event {
	return completion.Event{Type: completion.EventDelta, Attempt: s.start.Attempt, At: time.Now(), Chunks: chunks}
}

// next returns what is to be said next: chunks of at most maxDelta bytes, which are valid until the next call. If there are
// none, idle tells whether more may come; then nobody publishes from now on.
func (s *speech) next() (chunks []json.RawMessage, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		s.busy = s.ended
		return nil, !s.ended
	}
	n, size := 0, 0
	for n < len(s.pending) && (n == 0 || size+len(s.pending[n]) <= maxDelta) {
		size += len(s.pending[n])
		n++
	}
	rest := append(s.said[:0], s.pending[n:]...)
	clear(s.pending[n:])
	chunks, s.pending, s.said = s.pending[:n], rest, s.pending[:0]
	return chunks, false
}

// restate returns all that the answer holds as chunks and forgets what was pending.
func (s *speech) restate() []json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
	return answer.Restate(s.answer.Completion())
}

// outcome describes the answer as it stands. An answer that was interrupted before the upstream said what it cost gets an
// estimate.
func (s *speech) outcome(state completion.State, failure *completion.Error, request json.RawMessage) completion.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := completion.Outcome{
		State: state, Upstream: s.start.Upstream, Error: failure,
		Result: s.answer.Completion(), Usage: s.answer.Usage(), FinishReason: s.answer.FinishReason(),
		FirstTokenAt: s.first, At: time.Now(),
	}
	if len(s.whole) > 0 {
		o.Result, o.Usage = s.whole, json.RawMessage(gjson.GetBytes(s.whole, "usage").Raw)
	}
	if len(o.Usage) == 0 && state != completion.Completed {
		o.Usage = s.answer.Estimate(request)
	}
	return o
}

// pause waits for d or returns the cause that ended ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
