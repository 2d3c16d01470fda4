package system

import (
	"context"
	"fmt"

	"sluice/api/internal/optional"
	"sluice/shared/completion"
	"sluice/shared/store"
)

type failuresInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"How many."`
}

type failuresOutput struct{ Body FailedJobs }

func (f *face) list(ctx context.Context, in *failuresInput) (*failuresOutput, error) {
	failures, err := f.Store.Failures(ctx, in.Limit)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &failuresOutput{Body: FailedJobs{Object: "list", Data: make([]FailedJob, 0, len(failures))}}
	for _, failure := range failures {
		out.Body.Data = append(out.Body.Data, viewFailure(failure))
	}
	return out, nil
}

func viewFailure(f store.Failure) FailedJob {
	v := FailedJob{
		Object: "failure", Tenant: f.Tenant, ID: f.ID, State: f.State, Lane: f.Lane, Endpoint: f.Endpoint, Model: f.Model, Upstream: f.Upstream,
		Attempt: f.Attempt, CreatedAt: f.CreatedAt.UTC(), FinishedAt: f.FinishedAt.UTC(), Retry: optional.Of(f.Retry), Turn: f.Conversation != "",
		Error: Reason{Code: completion.CodeInternal},
	}
	if f.Error != nil {
		v.Error.Code, v.Error.UpstreamStatus = f.Error.Code, f.Error.UpstreamStatus
	}
	v.Error.Message = v.Error.Code.Kind().Text // what the upstream said may quote what it was asked
	return v
}

type retryInput struct {
	Tenant string `path:"tenant" doc:"The job's tenant."`
	ID     string `path:"id" doc:"The job's id."`
}

type retryOutput struct{ Body FailedJobRetry }

func (f *face) retry(ctx context.Context, in *retryInput) (*retryOutput, error) {
	stored, created, err := f.again(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	f.Logger.Info("failure is tried again", "request_id", completion.RequestID(ctx), "tenant", in.Tenant, "job_id", stored.ID, "retry_of", in.ID)
	return &retryOutput{Body: FailedJobRetry{
		Object: "system.retry", Tenant: stored.Tenant, ID: stored.ID, State: stored.State, Lane: stored.Lane, RetryOf: in.ID, Replayed: !created,
	}}, nil
}

// again is the tenant's own retry, but for what the tenant has cancelled, which stays so (I9), and for lines of batches and
// turns of conversations, which the answer would not reach.
func (f *face) again(ctx context.Context, tenant, id string) (stored completion.Job, created bool, err error) {
	if !completion.ValidToken(tenant) || !completion.ValidToken(id) {
		return completion.Job{}, false, completion.ErrNotFound
	}
	old, err := f.Store.Get(ctx, completion.Ref{Tenant: tenant, Job: id})
	switch {
	case err != nil:
		return completion.Job{}, false, err
	case old.State != completion.Failed && old.State != completion.Expired:
		return completion.Job{}, false, completion.NewError(completion.CodeNotRetryable,
			fmt.Sprintf("The job is %s; only one that failed or expired can be tried again here.", old.State))
	case old.Batch != "":
		return completion.Job{}, false, completion.NewError(completion.CodeNotRetryable, "The job is a line of a batch; the batch can be tried again.")
	case old.Conversation != "":
		return completion.Job{}, false, completion.NewError(completion.CodeNotRetryable, "The job is a turn of a conversation; the turn can be tried again there.")
	}
	if err := f.Limits.Submit(ctx, tenant); err != nil {
		return completion.Job{}, false, err
	}
	return f.Intake.Again(ctx, old)
}
