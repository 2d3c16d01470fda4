package intake

import (
	"context"
	"fmt"

	"sluice/shared/completion"
)

// Again accepts a job that tries old again: the same request, lane, metadata and time. A job is tried again once: asked
// again, it returns the same new job. Its error is a completion.CodeNotRetryable for a job that completed or has not ended, and
// for a turn of a conversation.
func (i *Intake) Again(ctx context.Context, old completion.Job) (stored completion.Job, created bool, err error) {
	if !old.State.Final() || old.State == completion.Completed {
		return completion.Job{}, false, completion.NewError(completion.CodeNotRetryable,
			fmt.Sprintf("The job is %s; only one that failed, expired or was cancelled can be tried again.", old.State))
	}
	if old.Conversation != "" {
		return completion.Job{}, false, completion.NewError(completion.CodeNotRetryable,
			"The job is a turn of a conversation: POST /v1/conversations/"+old.Conversation+"/regenerate has it answered again.")
	}
	job := i.NewJob(ctx, old.Tenant, Body{})
	job.Endpoint, job.Request, job.Model, job.Stored = old.Endpoint, old.Request, old.Model, old.Stored
	job.Lane, job.Metadata, job.RetryOf = old.Lane, old.Metadata, old.ID
	if !old.Deadline.IsZero() {
		job.Deadline = job.CreatedAt.Add(old.Deadline.Sub(old.CreatedAt))
	}
	return i.Accept(ctx, &job)
}
