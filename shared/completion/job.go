package completion

import (
	"encoding/json"
	"time"
)

// Job is one completion to be produced. The zero time means "not yet".
type Job struct {
	ID       string
	Tenant   string
	Lane     Lane
	State    State
	Model    string            // as the request names it
	Endpoint Endpoint          // which endpoint's body Request is; "" counts as EndpointChat when the job is added
	Request  json.RawMessage   // the caller's body, byte for byte
	Metadata map[string]string // the caller's own labels

	IdempotencyKey string // empty: none
	BodyHash       string // SHA-256 of what the key must match, in hexadecimal; empty without a key

	Attempt         int       // the latest attempt's number, 0 before the first
	Tries           int       // failed attempts that count against the limit
	Returned        int       // attempts that were handed back and count for nothing: a drain, the upstream's rate limit
	Worker          string    // who claimed the latest attempt
	CancelRequested bool      // a cancel reached the job while it was running
	RetryAt         time.Time // not before this, after a failed attempt
	Deadline        time.Time // the job must have ended by then, or expires; zero: none
	RetryOf         string    // the job that this one was made from to try it again; empty: none
	Stored          bool      // the OpenAI endpoints show the job, until it is deleted there
	Batch           string    // the batch that the job is a line of; empty: none
	Line            int       // its number in the batch's file, from 1
	CustomID        string    // the line's own name
	RequestID       string    // of the HTTP request that made the job; it goes along to the upstream
	Conversation    string    // the conversation that the job is a turn of, with the answer under the job's id; empty: none
	Held            bool      // it waits for the turn before it, and nobody may claim it
	Quota           Quota     // counts the job when it is added; the store does not keep it

	Upstream     string          // name of the upstream that served the latest attempt, never its address
	Result       json.RawMessage // completed: the whole answer, see Endpoint; otherwise what the latest attempt had so far
	Usage        json.RawMessage // the upstream's usage object
	FinishReason string          // of the first choice
	Error        *Error          // why the latest attempt failed
	Unsaid       bool            // the log may lack the end of what Result says; see Outcome

	CreatedAt    time.Time
	UpdatedAt    time.Time
	StartedAt    time.Time // first claim
	FirstTokenAt time.Time // first chunk of the latest attempt
	FinishedAt   time.Time
}

// IdempotencyAge is how long what an idempotency key has made is found by it at least, whatever the retention: from when it was
// made. Unless it is deleted, it is found for as long as it is kept.
const IdempotencyAge = 24 * time.Hour

// Overdue reports whether the job's deadline has passed.
func (j *Job) Overdue(now time.Time) bool { return !j.Deadline.IsZero() && !now.Before(j.Deadline) }

// Quiet reports whether the job says nothing of its own: it is a line of a batch, and the batch's log tells of it. All that
// its own log may hold is an outcome that the store could not take (I2).
func (j *Job) Quiet() bool { return j.Batch != "" }

// Ref names the job.
func (j *Job) Ref() Ref { return Ref{Tenant: j.Tenant, Job: j.ID} }

// Task is the job's message in the queue.
func (j *Job) Task() Task { return Task{Ref: j.Ref(), Lane: j.Lane, At: j.RetryAt} }

// Outcome is how an attempt, and with it the job, ended.
type Outcome struct {
	State        State // a final state
	Upstream     string
	Result       json.RawMessage
	Usage        json.RawMessage
	FinishReason string
	Error        *Error
	FirstTokenAt time.Time
	At           time.Time
	Unsaid       bool // the log was away: whoever closes it must restate the result first (I4)
}

// StoringEvent is the event that keeps the outcome of attempt n in the log until it is stored.
func (o *Outcome) StoringEvent(attempt int) Event {
	return Event{
		Type: EventStoring, Attempt: attempt, At: o.At, State: o.State, Error: o.Error,
		Result: o.Result, Usage: o.Usage, FinishReason: o.FinishReason,
	}
}

// Retry is how an attempt ended that another will follow.
type Retry struct {
	Outcome           // State is Queued
	RetryAt time.Time // zero: at once
	Counted bool      // false for what is not the job's fault: a drain, a crash, a lost lease
}

// Task refers to a job in the queue. It carries no content: the claim brings the request from the store.
type Task struct {
	Ref  Ref
	Lane Lane
	At   time.Time // not before this; zero: at once
}

// FinalEvent is the event that closes the log of a job in a final state.
func (j *Job) FinalEvent() Event {
	e := Event{Type: EventType(j.State), Attempt: j.Attempt, At: j.FinishedAt, Usage: j.Usage, FinishReason: j.FinishReason, Error: j.Error}
	if j.State == Completed {
		e.Result = j.Result
	} else {
		e.Partial = j.Result
	}
	return e
}
