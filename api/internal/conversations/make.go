package conversations

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// ConversationCreation documents what package request reads.
type ConversationCreation struct {
	ConversationChange
	Messages []SaidMessage `json:"messages,omitempty" maxItems:"1000" doc:"What was said elsewhere, in order."`
}

// SaidMessage documents a message that was said elsewhere.
type SaidMessage struct {
	Role    completion.Role `json:"role" enum:"user,assistant"`
	Content json.RawMessage `json:"content" doc:"A text, or of a user's message an array of parts."`
}

// ConversationCopy documents what a copy is to be.
type ConversationCopy struct {
	Name    string `json:"name,omitempty" maxLength:"200" doc:"By default that of the original."`
	Message string `json:"message,omitempty" doc:"The last message that is copied; by default what has ended of the path that goes on."`
}

func (f *Face) registerMake(api huma.API) {
	op := huma.Operation{
		OperationID: "create-conversation", Method: http.MethodPost, Path: path, Tags: tags, Errors: submitErrors, Security: write,
		DefaultStatus: http.StatusCreated, SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
		Summary: "Make a conversation", Description: "An ordered memory of what a user and a model say to each other. All that is left out of system and " +
			"parameters is for the tenant's preset to say, and then for the server.",
	}
	huma.Register(api, op, f.create)
	takes[ConversationCreation](api, op, `{"name":"Travel","system":"You are brief.","owner":"user-42","parameters":{"temperature":0.5}}`)
	op = huma.Operation{
		OperationID: "clone-conversation", Method: http.MethodPost, Path: one + "/clone", Tags: tags, Errors: submitErrors, Security: write,
		DefaultStatus: http.StatusCreated, SkipValidateBody: true,
		Summary: "Copy a conversation", Description: "Makes a conversation of its own of the path up to a message. 409 if that, or what comes before, has not ended.",
	}
	huma.Register(api, op, f.clone)
	takes[ConversationCopy](api, op, `{"name":"Another way"}`)
}

type createInput struct{ Once }

type madeOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"true if there was such a conversation already"`
	Body     Conversation
}

func (f *Face) create(ctx context.Context, in *createInput) (*madeOutput, error) {
	tenant, body := access.Of(ctx).Tenant, in.body("create conversation")
	if err := f.Intake.Allow(ctx, tenant, body); err != nil {
		return nil, f.answer(ctx, err)
	}
	asked, err := request.ParseConversation(in.RawBody)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	c, created, err := f.Host.Create(ctx, tenant, body, asked)
	return f.made(ctx, c, created, err)
}

// Act is a request to do something to a conversation.
type Act struct {
	ByID
	Once
}

func (f *Face) clone(ctx context.Context, in *Act) (*madeOutput, error) {
	ref, body, err := f.allow(ctx, in, "clone")
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	asked, err := request.ParseClone(in.RawBody)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	c, created, err := f.Host.Clone(ctx, ref, body, asked)
	return f.made(ctx, c, created, err)
}

// made answers with a conversation that was asked for, and may have been there already; deleted ones are not there.
func (f *Face) made(ctx context.Context, c completion.Conversation, created bool, err error) (*madeOutput, error) {
	if err == nil && !c.DeletedAt.IsZero() {
		err = completion.ErrNotFound
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	shown, err := f.show(ctx, &c)
	if err != nil {
		return nil, err
	}
	out := &madeOutput{Location: path + "/" + c.ID, Body: shown.Body}
	if err := f.Door.Open(&out.Body.Stream, c.Ref()); err != nil {
		return nil, f.answer(ctx, err)
	}
	if !created {
		out.Replayed = "true"
	}
	return out, nil
}
