package conversations

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// RatingRequest documents what package request reads.
type RatingRequest struct {
	Rating  int    `json:"rating" enum:"-1,0,1" doc:"0 takes it back."`
	Comment string `json:"comment,omitempty" maxLength:"2000"`
}

// MessageDeleted says what is no more.
type MessageDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object" enum:"message.deleted"`
	Deleted bool   `json:"deleted"`
}

func (f *Face) registerMessages(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-messages", Method: http.MethodGet, Path: messages, Tags: tags, Errors: readErrors, Security: read,
		Summary: "List what was said", Description: "The latest messages of the path that goes on, or of another branch, the oldest first. Pass the first id as " +
			"before for the page that comes before.",
	}, f.listMessages)
	huma.Register(api, huma.Operation{
		OperationID: "get-message", Method: http.MethodGet, Path: message, Tags: tags, Errors: readErrors, Security: read,
		Summary: "Read a message", Description: "On whatever branch it is.",
	}, f.getMessage)
	huma.Register(api, huma.Operation{
		OperationID: "delete-message", Method: http.MethodDelete, Path: message, Tags: tags, Errors: readErrors, Security: write,
		Summary: "Delete a message", Description: "With all that follows it, on all branches: what they say is erased from the conversation, and turns among them " +
			"are cancelled. If the path that goes on ended there, it ends now with what came before.",
	}, f.dropMessage)
	op := huma.Operation{
		OperationID: "rate-message", Method: http.MethodPut, Path: message + "/rating", Tags: tags, Errors: changeErrors, Security: write,
		DefaultStatus: http.StatusOK, SkipValidateBody: true,
		Summary: "Rate an answer", Description: "Replaces the rating that it had.",
	}
	huma.Register(api, op, f.rate)
	takes[RatingRequest](api, op, `{"rating":1,"comment":"Just what I needed."}`)
}

// ByMessage names a message.
type ByMessage struct {
	Message string `path:"message" doc:"The message's id."`
}

// valid reports an id that no message can have like one that no message has.
func (in *ByMessage) valid() error {
	if !completion.ValidToken(in.Message) {
		return completion.ErrNotFound
	}
	return nil
}

// InConversation names a message of a conversation.
type InConversation struct {
	ByID
	ByMessage
}

func (in *InConversation) ref(ctx context.Context) (completion.Ref, error) {
	ref, err := ref(ctx, in.ID)
	if err == nil {
		err = in.valid()
	}
	return ref, err
}

type messageOutput struct{ Body Message }

func (f *Face) getMessage(ctx context.Context, in *InConversation) (*messageOutput, error) {
	ref, err := in.ref(ctx)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return f.showMessage(ctx, ref, in.Message)
}

func (f *Face) showMessage(ctx context.Context, ref completion.Ref, id string) (*messageOutput, error) {
	m, err := f.Store.Message(ctx, ref, id)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	shown, err := f.siblings(ctx, ref, []completion.Message{m})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &messageOutput{Body: shown[0]}, nil
}

// siblings shows messages, each with the other versions of it.
func (f *Face) siblings(ctx context.Context, ref completion.Ref, list []completion.Message) ([]Message, error) {
	shown := make([]Message, 0, len(list))
	parents := make([]string, 0, len(list))
	for i := range list {
		parents = append(parents, list[i].Parent)
	}
	all, err := f.Store.Siblings(ctx, ref, parents)
	for i := range list {
		shown = append(shown, view(&list[i], all[list[i].Parent]))
	}
	return shown, err
}

type messageDeletedOutput struct{ Body MessageDeleted }

func (f *Face) dropMessage(ctx context.Context, in *InConversation) (*messageDeletedOutput, error) {
	ref, err := in.ref(ctx)
	if err == nil {
		err = f.Host.Drop(ctx, ref, in.Message)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &messageDeletedOutput{Body: MessageDeleted{ID: in.Message, Object: "message.deleted", Deleted: true}}, nil
}

type rateInput struct {
	InConversation
	Sent
}

func (f *Face) rate(ctx context.Context, in *rateInput) (*messageOutput, error) {
	ref, err := in.ref(ctx)
	if err == nil {
		err = request.JSON(in.Type)
	}
	var rating request.Rating
	if err == nil {
		rating, err = request.ParseRating(in.RawBody)
	}
	if err == nil {
		err = f.Host.Rate(ctx, ref, in.Message, rating)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return f.showMessage(ctx, ref, in.Message)
}

type messagesInput struct {
	ByID
	Branch string `query:"branch" maxLength:"64" doc:"A message: the path through it, to the newest that follows, instead of the one that goes on."`
	Before string `query:"before" maxLength:"64" doc:"A message: what comes before it."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"100" doc:"Messages per page."`
}

// MessageList is one page of a path, in the shape of OpenAI's lists.
type MessageList struct {
	Object  string    `json:"object" enum:"list"`
	Data    []Message `json:"data"`
	FirstID *string   `json:"first_id" nullable:"true" doc:"Pass it as before for the page that comes before."`
	LastID  *string   `json:"last_id" nullable:"true"`
	HasMore bool      `json:"has_more" doc:"Something comes before."`
}

type messagesOutput struct{ Body MessageList }

func (f *Face) listMessages(ctx context.Context, in *messagesInput) (*messagesOutput, error) {
	page, err := f.page(ctx, in)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	ref, _ := ref(ctx, in.ID) // it was valid for the page
	shown, err := f.siblings(ctx, ref, page)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := MessageList{Object: "list", Data: shown}
	if n := len(shown); n > 0 {
		out.FirstID, out.LastID, out.HasMore = &shown[0].ID, &shown[n-1].ID, shown[0].Parent != nil
	}
	return &messagesOutput{Body: out}, nil
}
