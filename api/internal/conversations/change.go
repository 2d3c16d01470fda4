package conversations

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// ConversationChange documents what package request reads.
type ConversationChange struct {
	Name       *string                `json:"name,omitempty" maxLength:"200"`
	System     *string                `json:"system,omitempty" doc:"The system message; it cannot change once something was said."`
	Parameters *completion.Parameters `json:"parameters,omitempty" doc:"How its turns are answered that do not say otherwise."`
	Owner      *string                `json:"owner,omitempty" maxLength:"128" doc:"The tenant's own name for its end user."`
	Metadata   map[string]string      `json:"metadata,omitempty" doc:"At most 16 pairs, keys of at most 64 and values of at most 512 characters."`
}

// ConversationPatch is a change that may also choose another branch.
type ConversationPatch struct {
	ConversationChange
	Branch *string `json:"branch,omitempty" doc:"A message: the path that goes on is the one through it, to the newest that follows."`
}

// ConversationDeleted says what is no more.
type ConversationDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object" enum:"conversation.deleted"`
	Deleted bool   `json:"deleted"`
}

func (f *Face) registerChange(api huma.API) {
	op := huma.Operation{
		OperationID: "update-conversation", Method: http.MethodPatch, Path: one, Tags: tags, Errors: changeErrors, Security: write,
		SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
		Summary: "Change a conversation", Description: "What is left out stays as it is; parameters and metadata are replaced as a whole. 409 for another system " +
			"message once something was said.",
	}
	huma.Register(api, op, f.change)
	takes[ConversationPatch](api, op, `{"name":"Travel plans"}`)
	huma.Register(api, huma.Operation{
		OperationID: "delete-conversation", Method: http.MethodDelete, Path: one, Tags: tags, Errors: readErrors, Security: write,
		Summary: "Delete a conversation", Description: "It is found no more, and its turns are cancelled.",
	}, f.remove)
}

type changeInput struct {
	ByID
	Sent
}

func (f *Face) change(ctx context.Context, in *changeInput) (*output, error) {
	ref, err := ref(ctx, in.ID)
	if err == nil {
		err = request.JSON(in.Type)
	}
	var asked request.Change
	if err == nil {
		asked, err = request.ParseChange(in.RawBody)
	}
	var c completion.Conversation
	if err == nil {
		c, err = f.Host.Change(ctx, ref, asked)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return f.show(ctx, &c)
}

type deletedOutput struct{ Body ConversationDeleted }

func (f *Face) remove(ctx context.Context, in *ByID) (*deletedOutput, error) {
	ref, err := ref(ctx, in.ID)
	if err == nil {
		err = f.Host.Delete(ctx, ref)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &deletedOutput{Body: ConversationDeleted{ID: in.ID, Object: "conversation.deleted", Deleted: true}}, nil
}
