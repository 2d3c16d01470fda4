package jobs

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/intake"
	"sluice/shared/completion"
)

func (f *Face) registerRetry(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "retry-job", Method: http.MethodPost, Path: "/v1/jobs/{id}/retry", Tags: tags, Errors: []int{401, 402, 403, 404, 409, 429, 503},
		Security:      access.Needs(completion.ScopeSubmit),
		DefaultStatus: http.StatusAccepted,
		Summary:       "Try a job again", Description: "Makes a new job of one that failed, expired or was cancelled: the same request, lane, " +
			"metadata and time, with retry_of naming the old one, which stays as it is. A job is tried again once: a repeat answers with the same " +
			"new job. 409 for a job that completed or has not ended, and for a turn of a conversation, which is regenerated there.",
	}, f.retry)
}

func (f *Face) retry(ctx context.Context, in *idInput) (*submitOutput, error) {
	if err := f.Limits.Submit(ctx, access.Of(ctx).Tenant); err != nil {
		return nil, f.answer(ctx, err)
	}
	old, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	if !old.State.Final() || old.State == completion.Completed {
		return nil, f.answer(ctx, completion.NewError(completion.CodeNotRetryable,
			fmt.Sprintf("The job is %s; only one that failed, expired or was cancelled can be tried again.", old.State)))
	}
	if old.Conversation != "" {
		return nil, f.answer(ctx, completion.NewError(completion.CodeNotRetryable,
			"The job is a turn of a conversation: POST /v1/conversations/"+old.Conversation+"/regenerate has it answered again."))
	}
	job := f.Intake.NewJob(ctx, old.Tenant, intake.Body{})
	job.Endpoint, job.Request, job.Model, job.Stored = old.Endpoint, old.Request, old.Model, old.Stored
	job.Lane, job.Metadata, job.RetryOf = old.Lane, old.Metadata, old.ID
	if !old.Deadline.IsZero() {
		job.Deadline = job.CreatedAt.Add(old.Deadline.Sub(old.CreatedAt))
	}
	return f.accept(ctx, &job)
}
