package jobs

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/optional"
	"sluice/shared/completion"
	"sluice/shared/credential"
)

// Credential opens streams on NATS, to read.
type Credential struct {
	Object  string `json:"object" enum:"credential"`
	Subject string `json:"subject" doc:"What it opens."`
	Stream
}

type credentialOutput struct{ Body Credential }

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
		Summary:  "Get a credential for all jobs", Description: "A NATS credential that opens the streams of all of the tenant's jobs, to read, until " +
			"expires_at: for a program that watches many of them over one connection. Do not hand it to browsers.",
	}, f.tenantCredential)
}

func (f *Face) jobCredential(ctx context.Context, in *idInput) (*credentialOutput, error) {
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &credentialOutput{Body: Credential{Object: "credential", Subject: job.Ref().Subject(), Stream: f.stream}}
	return out, f.answer(ctx, f.open(&out.Body.Stream, job.Ref()))
}

func (f *Face) tenantCredential(ctx context.Context, _ *struct{}) (*credentialOutput, error) {
	tenant := access.Of(ctx).Tenant
	out := &credentialOutput{Body: Credential{Object: "credential", Subject: "completions." + tenant + ".>", Stream: f.stream}}
	if f.Mint == nil {
		return nil, f.answer(ctx, errNoViewers)
	}
	c, err := f.Mint.Tenant(tenant, time.Now().Add(f.opts.ViewTime))
	out.Body.show(c)
	return out, f.answer(ctx, err)
}

var errNoViewers = completion.NewError(completion.CodeNotFound, "This installation does not serve streams over NATS; follow jobs over HTTP.")

// open adds to s what opens the job's stream.
func (f *Face) open(s *Stream, ref completion.Ref) error {
	if f.Mint == nil {
		return nil
	}
	c, err := f.Mint.Stream(ref, time.Now().Add(f.opts.ViewTime))
	s.show(c)
	return err
}

func (s *Stream) show(c credential.Credential) {
	s.Credential, s.ExpiresAt = c.Token, optional.Time(c.ExpiresAt)
}
