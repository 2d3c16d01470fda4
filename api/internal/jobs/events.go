package jobs

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/follow"
	"sluice/shared/completion"
)

type eventsInput struct {
	ID string `path:"id" doc:"The job's id."`
	follow.From
}

func (f *Face) registerEvents(api huma.API) {
	op := huma.Operation{
		OperationID: "follow-job", Method: http.MethodGet, Path: "/v1/jobs/{id}/events", Tags: tags, Errors: follow.Errors,
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Follow a job", Description: "The job's events " + follow.Description,
	}
	huma.Register(api, op, f.events)
	follow.Describe(api.OpenAPI().Paths[op.Path].Get)
}

func (f *Face) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	out, err := f.Follow.Events(ctx, in.From, func() (completion.Ref, bool, error) {
		job, err := f.find(ctx, in.ID)
		return job.Ref(), job.State.Final(), err
	})
	return out, f.answer(ctx, err)
}
