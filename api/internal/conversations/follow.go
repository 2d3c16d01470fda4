package conversations

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/follow"
	"sluice/api/internal/viewer"
)

func (f *Face) registerFollow(api huma.API) {
	events := huma.Operation{
		OperationID: "follow-conversation", Method: http.MethodGet, Path: one + "/events", Tags: tags, Errors: []int{401, 403, 404, 429, 503}, Security: read,
		Summary: "Follow a conversation", Description: "Its changes, " + follow.ChangesDescription,
	}
	huma.Register(api, events, f.events)
	follow.Describe(api.OpenAPI().Paths[events.Path].Get)
	huma.Register(api, huma.Operation{
		OperationID: "create-conversation-credential", Method: http.MethodPost, Path: one + "/credential", Tags: tags, Errors: []int{401, 403, 404, 503},
		Security: read, DefaultStatus: http.StatusOK,
		Summary: "Get a credential for a conversation", Description: "A NATS credential that opens the conversation's subject, to read, until expires_at: then the " +
			"server hangs up. The answers' own subjects are opened by their jobs' credentials.",
	}, f.credential)
}

func (f *Face) events(ctx context.Context, in *ByID) (*huma.StreamResponse, error) {
	ref, err := ref(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out, err := f.Follow.Changes(ctx, ref, func(ctx context.Context) (int64, error) {
		c, err := f.Store.Conversation(ctx, ref)
		return c.Version, err
	})
	return out, f.answer(ctx, err)
}

type credentialOutput struct{ Body viewer.Credential }

func (f *Face) credential(ctx context.Context, in *ByID) (*credentialOutput, error) {
	c, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	opened, err := f.Door.Credential(c.Ref())
	return &credentialOutput{Body: opened}, f.answer(ctx, err)
}
