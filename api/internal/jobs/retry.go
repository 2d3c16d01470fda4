package jobs

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
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
	stored, created, err := f.Intake.Again(ctx, old)
	return f.accepted(ctx, stored, created, err)
}
