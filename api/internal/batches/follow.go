package batches

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/follow"
	"sluice/api/internal/viewer"
	"sluice/shared/completion"
)

func (f *Face) registerFollow(api huma.API) {
	events := huma.Operation{
		OperationID: "follow-batch", Method: http.MethodGet, Path: one + "/events", Tags: tags, Errors: follow.Errors, Security: access.Needs(completion.ScopeRead),
		Summary: "Follow a batch", Description: "The batch's events, which are its progress and its lines as they end, " + follow.Description,
	}
	huma.Register(api, events, f.events)
	follow.Describe(api.OpenAPI().Paths[events.Path].Get)
	huma.Register(api, huma.Operation{
		OperationID: "create-batch-credential", Method: http.MethodPost, Path: one + "/credential", Tags: tags, Errors: []int{401, 403, 404, 503},
		Security: access.Needs(completion.ScopeRead), DefaultStatus: http.StatusOK,
		Summary: "Get a credential for a batch", Description: "A NATS credential that opens the batch's stream and its replay, to read, until expires_at: " +
			"then the server hangs up. Ask for another before, or after, and go on from the last seq.",
	}, f.credential)
}

type eventsInput struct {
	ID string `path:"id" doc:"The batch's id."`
	follow.From
}

func (f *Face) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	out, err := f.Follow.Events(ctx, in.From, func() (completion.Ref, bool, error) {
		b, err := f.find(ctx, in.ID)
		return b.Ref(), b.State.Final(), err
	})
	return out, f.answer(ctx, err)
}

type credentialOutput struct{ Body viewer.Credential }

func (f *Face) credential(ctx context.Context, in *idInput) (*credentialOutput, error) {
	b, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	c, err := f.Door.Credential(b.Ref())
	return &credentialOutput{Body: c}, f.answer(ctx, err)
}
