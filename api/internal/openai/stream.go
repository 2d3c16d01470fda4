package openai

import (
	"context"
	"encoding/json"
	"fmt"

	"sluice/api/internal/attend"
	"sluice/api/internal/problem"
	"sluice/api/internal/sse"
	"sluice/shared/answer"
	"sluice/shared/completion"
)

// teller tells one client what its job says, as an event stream of chunks.
type teller struct {
	face   *Face
	form   form
	client attend.Client

	last  int64          // seq of the latest event
	sent  *answer.Answer // what the client has got
	next  *answer.Answer // what the attempt after that says, until it has said as much; nil: there is none
	torn  bool           // events are missing
	frame frame
}

var done = []byte("[DONE]")

// tell writes chunks until the job's end. Nothing is written before the first one, so that what fails early is an HTTP error.
func (t *teller) tell(ctx context.Context, s *sse.Stream) error {
	t.sent, t.frame = &answer.Answer{}, newFrame(&t.client.Job, t.form.usage)
	for record, err := range t.client.Events(ctx) {
		if err != nil {
			return err
		}
		e, err := record.Event()
		if err != nil {
			return err
		}
		t.torn = t.torn || e.Seq != t.last+1
		t.last = e.Seq
		if err := t.event(ctx, s, &e); err != nil {
			return err
		}
	}
	return s.Send("", "", done)
}

func (t *teller) event(ctx context.Context, s *sse.Stream, e *completion.Event) error {
	switch {
	case e.Type == completion.EventStarted && !t.sent.Empty():
		t.next = &answer.Answer{} // attempts begin anew
	case e.Type == completion.EventDelta:
		return t.delta(s, e.Chunks)
	case e.Type == completion.EventCompleted:
		return t.complete(ctx, s, e)
	case e.Type.Final():
		return attend.Ended(completion.Job{Error: e.Error})
	}
	return nil
}

func (t *teller) delta(s *sse.Stream, chunks []json.RawMessage) error {
	for _, chunk := range chunks {
		news, err := t.news(chunk)
		if err == nil {
			err = t.send(s, news)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// news is what the chunk adds to what the client has got: all of it, unless the attempt repeats what an earlier one has
// said.
func (t *teller) news(chunk json.RawMessage) (json.RawMessage, error) {
	into := t.sent
	if t.next != nil {
		into = t.next
	}
	if _, err := into.Add(chunk); err != nil {
		return nil, fmt.Errorf("read chunk: %w", err)
	}
	if t.next == nil {
		return chunk, nil
	}
	rest, covered, same := t.next.Rest(t.sent)
	switch {
	case !same:
		return nil, completion.NewError(completion.CodeDiverged, "")
	case covered:
		t.sent, t.next = t.next, nil
	}
	return rest, nil
}

// complete tells what the client has not got of the stored result, which is all of it where the log is gone, and the usage.
func (t *teller) complete(ctx context.Context, s *sse.Stream, e *completion.Event) error {
	if t.torn || t.next != nil {
		result := e.Result
		if len(result) == 0 { // larger than an event may be
			job, err := t.face.Store.Get(ctx, t.client.Job.Ref())
			if err != nil {
				return err
			}
			result = job.Result
		}
		t.next = &answer.Answer{}
		if err := t.delta(s, answer.Restate(result)); err != nil {
			return err
		}
		if t.next != nil {
			return completion.NewError(completion.CodeDiverged, "")
		}
	}
	if line := t.frame.usageLine(e.Usage); line != nil {
		return s.Send("", "", line)
	}
	return nil
}

func (t *teller) send(s *sse.Stream, chunk json.RawMessage) error {
	if line := t.frame.line(chunk); line != nil {
		return s.Send("", "", line)
	}
	return nil
}

// errorFrame is the data line of an error in mid-stream.
func errorFrame(err error) []byte {
	b, encodeErr := json.Marshal(problem.Of(err))
	if encodeErr != nil {
		return []byte(`{"error":{"message":"Something went wrong on our side.","type":"server_error","param":null,"code":"internal_error"}}`)
	}
	return b
}
