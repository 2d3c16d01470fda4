package jobs

import (
	"encoding/json"
	"time"

	"sluice/api/internal/optional"
	"sluice/api/internal/viewer"
	"sluice/shared/completion"
)

// Job is a job as clients see it.
type Job struct {
	ID              string              `json:"id" example:"job_01933b1c5f6c7d8e9f00112233445566"`
	Object          string              `json:"object" enum:"job"`
	State           completion.State    `json:"state" enum:"queued,running,completed,failed,cancelled,expired" doc:"The last four are final."`
	Lane            completion.Lane     `json:"lane" enum:"interactive,batch"`
	Endpoint        completion.Endpoint `json:"endpoint" enum:"/v1/chat/completions,/v1/completions,/v1/embeddings,/v1/responses" doc:"Which OpenAI endpoint the request is for."`
	Model           string              `json:"model"`
	Attempt         int                 `json:"attempt" doc:"The latest attempt's number; 0 before the first."`
	CancelRequested bool                `json:"cancel_requested,omitempty" doc:"A cancel is on its way to the worker."`
	Metadata        map[string]string   `json:"metadata"`

	Subject   string        `json:"subject" doc:"The NATS subject on which the job's events appear."`
	Stream    viewer.Stream `json:"stream"`
	EventsURL string        `json:"events_url" doc:"The same events as server-sent events."`

	Result       json.RawMessage   `json:"result" nullable:"true" doc:"The answer, for instance the chat.completion object; of a job that did not complete, what it had so far. Null in lists."`
	Usage        json.RawMessage   `json:"usage" nullable:"true" doc:"Tokens as the upstream counted them; estimated if it did not get to."`
	FinishReason *string           `json:"finish_reason" nullable:"true"`
	Error        *completion.Error `json:"error" doc:"Why the latest attempt failed."`

	Conversation string `json:"conversation,omitempty" doc:"The conversation that the job is a turn of; the answer there has the job's id."`
	Held         bool   `json:"held,omitempty" doc:"It waits for the turn before it."`

	RetryOf   string `json:"retry_of,omitempty" doc:"The job that this one tries again."`
	Batch     string `json:"batch,omitempty" doc:"The batch that the job is a line of."`
	Line      int    `json:"line,omitempty" minimum:"1" doc:"The line's number in the batch's file."`
	CustomID  string `json:"custom_id,omitempty" doc:"The line's own name."`
	RequestID string `json:"request_id,omitempty" doc:"x-request-id of the request that made the job; upstreams get it as x-client-request-id."`

	CreatedAt    time.Time  `json:"created_at"`
	Deadline     *time.Time `json:"deadline" nullable:"true" doc:"The job must have ended by then, or expires."`
	StartedAt    *time.Time `json:"started_at" nullable:"true" doc:"When a worker first took the job."`
	FirstTokenAt *time.Time `json:"first_token_at" nullable:"true" doc:"When the latest attempt's first chunk came."`
	RetryAt      *time.Time `json:"retry_at" nullable:"true" doc:"The next attempt starts no earlier."`
	FinishedAt   *time.Time `json:"finished_at" nullable:"true"`
}

// View shows j, which can be followed at where.
func View(j completion.Job, where viewer.Stream) Job {
	v := Job{
		ID: j.ID, Object: "job", State: j.State, Lane: j.Lane, Endpoint: j.Endpoint, Model: j.Model, Attempt: j.Attempt,
		CancelRequested: j.CancelRequested && !j.State.Final(), Metadata: j.Metadata,
		Subject: j.Ref().Subject(), Stream: where, EventsURL: "/v1/jobs/" + j.ID + "/events",
		Result: orNull(j.Result), Usage: orNull(j.Usage), FinishReason: optional.Of(j.FinishReason), Error: j.Error,
		Conversation: j.Conversation, Held: j.Held && !j.State.Final(),
		RetryOf: j.RetryOf, Batch: j.Batch, Line: j.Line, CustomID: j.CustomID, RequestID: j.RequestID,
		CreatedAt: j.CreatedAt.UTC(), Deadline: optional.Time(j.Deadline), StartedAt: optional.Time(j.StartedAt), FirstTokenAt: optional.Time(j.FirstTokenAt),
		RetryAt: optional.Time(j.RetryAt), FinishedAt: optional.Time(j.FinishedAt),
	}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	return v
}

// Accepted is View for whoever has submitted j: it comes with what opens its stream.
func Accepted(j completion.Job, door viewer.Door) (Job, error) {
	v := View(j, door.Where())
	return v, door.Open(&v.Stream, j.Ref())
}

func (f *Face) view(j completion.Job) Job { return View(j, f.Door.Where()) }

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}
