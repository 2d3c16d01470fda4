package jobs

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/viewer"
	"sluice/shared/completion"
)

type credentialOutput struct{ Body viewer.Credential }

func (f *Face) registerCredential(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "renew-credential", Method: http.MethodPost, Path: "/v1/jobs/{id}/credential", Tags: tags, Errors: []int{401, 403, 404, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Get a credential for a job", Description: "A NATS credential that opens the job's stream and its replay, to read, until expires_at: " +
			"then the server hangs up. Ask for another before, or after, and go on from the last seq.",
	}, f.jobCredential)
	huma.Register(api, huma.Operation{
		OperationID: "create-credential", Method: http.MethodPost, Path: "/v1/credential", Tags: tags, Errors: []int{401, 403, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Get a credential for all jobs", Description: "A NATS credential that opens the streams of all of the tenant's jobs and batches, to read, until " +
			"expires_at: for a program that watches many of them over one connection. Do not hand it to browsers.",
	}, f.tenantCredential)
}

func (f *Face) jobCredential(ctx context.Context, in *idInput) (*credentialOutput, error) {
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	c, err := f.Door.Credential(job.Ref())
	return &credentialOutput{Body: c}, f.answer(ctx, err)
}

func (f *Face) tenantCredential(ctx context.Context, _ *struct{}) (*credentialOutput, error) {
	c, err := f.Door.Tenant(access.Of(ctx).Tenant)
	return &credentialOutput{Body: c}, f.answer(ctx, err)
}
