package completion

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// EventType says what an event means; the final ones are named like the states they announce.
type EventType string

// The types of events.
const (
	EventStarted   EventType = "started"  // a new attempt: drop what earlier attempts said
	EventDelta     EventType = "delta"    // what upstream chunks added
	EventRetrying  EventType = "retrying" // this attempt failed, another will come
	EventLines     EventType = "lines"    // of a batch: lines that have ended
	EventProgress  EventType = "progress" // of a batch: where it stands
	EventStoring   EventType = "storing"  // the attempt is over, its outcome is kept here until the store is back (I2)
	EventCompleted EventType = "completed"
	EventFailed    EventType = "failed"
	EventCancelled EventType = "cancelled"
	EventExpired   EventType = "expired"
)

// Final reports whether an event of this type is the last of its job.
func (t EventType) Final() bool { return State(t).Final() }

// MaxEventBytes is the largest event that is published; a final or storing event over it leaves its result (or partial)
// out, and the viewer reads it from the API.
const MaxEventBytes = 200 << 10

// MaxSeq is the largest seq, and the largest that a viewer may resume after: every reader of JSON, JavaScript included,
// has it exactly.
const MaxSeq = 1<<53 - 1

// Event is one message on a job's subject. Readers ignore fields that they do not know.
type Event struct {
	Type    EventType `json:"type"`
	Seq     int64     `json:"seq"`     // from 1 without gaps, across attempts
	Attempt int       `json:"attempt"` // 0 where no attempt was made
	At      time.Time `json:"at"`

	Model    string `json:"model,omitempty"`    // started
	Upstream string `json:"upstream,omitempty"` // started: the upstream's name

	// Chunks (delta) holds for each upstream chunk its choices, its usage, and whichever other fields changed since the
	// attempt's previous chunk; the first chunk of an attempt has them all. The bytes are the upstream's.
	Chunks []json.RawMessage `json:"chunks,omitempty"`

	RetryAt *time.Time `json:"retry_at,omitempty"` // retrying
	State   State      `json:"state,omitempty"`    // storing: the final state that the job will have
	Error   *Error     `json:"error,omitempty"`    // retrying, storing, failed, cancelled, expired

	Result       json.RawMessage `json:"result,omitempty"`  // completed: the chat.completion; storing: what there is of it
	Partial      json.RawMessage `json:"partial,omitempty"` // failed, cancelled, expired: the chat.completion so far
	Usage        json.RawMessage `json:"usage,omitempty"`
	FinishReason string          `json:"finish_reason,omitempty"`

	// Lines (lines) holds for each line what the batch's output has for it, and "line", its number. An answer that is too
	// large for an event is left out, with "truncated": true in its place.
	Lines []json.RawMessage `json:"lines,omitempty"`
	Batch json.RawMessage   `json:"batch,omitempty"` // of a batch: started, progress, lines and final ones: the batch, without its errors
}

// Encode renders e as one line of JSON. Raw parts keep their bytes, unlike with json.Marshal, which would re-escape
// them. A final or storing event above MaxEventBytes is rendered without its result or partial.
func (e *Event) Encode() ([]byte, error) {
	if (e.Type.Final() || e.Type == EventStoring) && !e.Fits() {
		small := *e
		small.Result, small.Partial = nil, nil
		e = &small
	}
	b := make([]byte, 0, e.sizeHint())
	b = append(b, `{"type":"`...)
	b = append(b, e.Type...)
	b = append(b, `","seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `,"attempt":`...)
	b = strconv.AppendInt(b, int64(e.Attempt), 10)
	b = append(b, `,"at":"`...)
	b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = appendList(b, `,"chunks":`, e.Chunks)
	b = appendList(b, `,"lines":`, e.Lines)
	if e.Type == EventDelta {
		return append(b, '}'), nil
	}
	b, err := e.appendRest(b)
	if err != nil {
		return nil, fmt.Errorf("encode %s event: %w", e.Type, err)
	}
	return append(b, '}'), nil
}

// Fits reports whether the event has room for its result or partial.
func (e *Event) Fits() bool { return len(e.Result)+len(e.Partial) <= MaxEventBytes-8<<10 }

func (e *Event) sizeHint() int {
	n := 128 + len(e.Result) + len(e.Partial) + len(e.Usage) + len(e.Batch)
	for _, c := range e.Chunks {
		n += len(c) + 1
	}
	for _, l := range e.Lines {
		n += len(l) + 1
	}
	return n
}

func (e *Event) appendRest(b []byte) ([]byte, error) {
	var retryAt any
	if e.RetryAt != nil {
		retryAt = e.RetryAt.UTC()
	}
	var failure any
	if e.Error != nil {
		failure = e.Error
	}
	for _, f := range []struct {
		key   string
		value any
		raw   json.RawMessage
	}{
		{key: "model", value: omitEmpty(e.Model)},
		{key: "upstream", value: omitEmpty(e.Upstream)},
		{key: "retry_at", value: retryAt},
		{key: "state", value: omitEmpty(string(e.State))},
		{key: "error", value: failure},
		{key: "result", raw: e.Result},
		{key: "partial", raw: e.Partial},
		{key: "usage", raw: e.Usage},
		{key: "finish_reason", value: omitEmpty(e.FinishReason)},
		{key: "batch", raw: e.Batch},
	} {
		if f.value == nil && len(f.raw) == 0 {
			continue
		}
		raw := []byte(f.raw)
		if f.value != nil {
			var err error
			if raw, err = json.Marshal(f.value); err != nil {
				return nil, err
			}
		}
		b = append(b, `,"`+f.key+`":`...)
		b = append(b, raw...)
	}
	return b, nil
}

func appendList(b []byte, key string, list []json.RawMessage) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(b, key...)
	for i, c := range list {
		b = append(append(b, "[,"[min(i, 1)]), c...)
	}
	return append(b, ']')
}

func omitEmpty(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Record is an event as it travels: its place, its type and its bytes.
type Record struct {
	Seq     int64
	Attempt int
	Type    EventType
	Data    json.RawMessage
}

// Event decodes the record.
func (r Record) Event() (Event, error) {
	var e Event
	if err := json.Unmarshal(r.Data, &e); err != nil {
		return Event{}, fmt.Errorf("decode event %d: %w", r.Seq, err)
	}
	return e, nil
}
