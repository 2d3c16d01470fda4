// Package conversations is the face of the API for conversations: what is said in them, the branches of what was said, and
// their names and ratings.
//
// It promises that every look-up carries the caller's tenant (I8). What is done to a conversation is done by package talk; a
// turn is a job like any other, and is shown as package jobs shows it.
package conversations

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/follow"
	"sluice/api/internal/intake"
	"sluice/api/internal/problem"
	"sluice/api/internal/talk"
	"sluice/api/internal/viewer"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is what this face reads.
type Store interface {
	Conversation(ctx context.Context, ref completion.Ref) (completion.Conversation, error)
	ListConversations(ctx context.Context, tenant string, q store.ConversationQuery) (page []store.Found, more bool, err error)
	LiveOf(ctx context.Context, tenant string, conversations []string) (map[string][]string, error)
	Message(ctx context.Context, ref completion.Ref, id string) (completion.Message, error)
	Path(ctx context.Context, ref completion.Ref, from string, limit int) ([]completion.Message, error)
	Siblings(ctx context.Context, ref completion.Ref, parents []string) (map[string][]completion.Message, error)
	Leaf(ctx context.Context, ref completion.Ref, below string) (string, error)
}

// Parts are what a Face is made of. All are required.
type Parts struct {
	Host   *talk.Host
	Intake *intake.Intake
	Store  Store
	Follow *follow.Follower
	Door   viewer.Door
	Logger *slog.Logger
}

// Face serves the routes.
type Face struct{ Parts }

const (
	path     = "/v1/conversations"
	one      = path + "/{id}"
	messages = one + "/messages"
	message  = messages + "/{message}"
)

var (
	tags        = []string{"Conversations"}
	read, write = access.Needs(completion.ScopeRead), access.Needs(completion.ScopeSubmit)

	readErrors   = []int{400, 401, 403, 404, 503}
	changeErrors = []int{400, 401, 403, 404, 409, 413, 415, 503}
	submitErrors = []int{400, 401, 402, 403, 404, 409, 413, 415, 429, 503}
)

// Register adds the routes to api.
func Register(api huma.API, p Parts) {
	f := &Face{Parts: p}
	f.registerMake(api)
	f.registerChange(api)
	f.registerList(api)
	f.registerMessages(api)
	f.registerTurns(api)
	f.registerAsides(api)
	f.registerFollow(api)
	describe(api)
}

func (f *Face) registerList(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-conversations", Method: http.MethodGet, Path: path, Tags: tags, Errors: []int{400, 401, 403, 503}, Security: read,
		Summary: "List conversations", Description: "Those that were active last come first. Pass the last id as after for the next page. A search looks " +
			"through names and through messages that have ended, on all branches.",
	}, f.list)
	huma.Register(api, huma.Operation{
		OperationID: "get-conversation", Method: http.MethodGet, Path: one, Tags: tags, Errors: readErrors, Security: read,
		Summary: "Read a conversation", Description: "All but what was said in it.",
	}, f.get)
}

// Sent is the body of a request, whatever it says.
type Sent struct {
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

// Once is the body of a request that makes something.
type Once struct {
	Key string `header:"Idempotency-Key" doc:"Asking again with the same key and body answers with what the first request has made; with another body it is a 409."`
	Sent
}

// body is in for the intake: what it asks for is to be done to something.
func (in *Once) body(act string) intake.Body {
	return intake.Body{Act: act, Bytes: in.RawBody, Type: in.Type, Key: in.Key}
}

// ByID names a conversation.
type ByID struct {
	ID string `path:"id" doc:"The conversation's id."`
}

// ref names the caller's conversation. An id that no conversation can have is answered like one that no conversation of the
// tenant has (I8).
func ref(ctx context.Context, id string) (completion.Ref, error) {
	if !completion.ValidToken(id) {
		return completion.Ref{}, completion.ErrNotFound
	}
	return completion.Ref{Tenant: access.Of(ctx).Tenant, Job: id}, nil
}

func (f *Face) find(ctx context.Context, id string) (completion.Conversation, error) {
	ref, err := ref(ctx, id)
	if err != nil {
		return completion.Conversation{}, err
	}
	return f.Store.Conversation(ctx, ref)
}

type output struct{ Body Conversation }

func (f *Face) get(ctx context.Context, in *ByID) (*output, error) {
	c, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return f.show(ctx, &c)
}

// show answers with a conversation and its live turns.
func (f *Face) show(ctx context.Context, c *completion.Conversation) (*output, error) {
	live, err := f.Store.LiveOf(ctx, c.Tenant, []string{c.ID})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &output{Body: f.view(c, live[c.ID])}, nil
}

type listInput struct {
	Owner string `query:"owner" doc:"Only conversations of this end user; owner= with nothing after it: those of none."`
	Query string `query:"q" maxLength:"200" doc:"Only conversations in which this was said, or whose name has it, in letters of either case."`
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Conversations per page."`
	After string `query:"after" maxLength:"64" doc:"The last id of the page before."`

	owned bool
}

// Resolve looks whether an owner was given at all.
func (in *listInput) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	in.owned = u.Query().Has("owner")
	return nil
}

// ConversationList is one page of a list, in the shape of OpenAI's lists.
type ConversationList struct {
	Object  string         `json:"object" enum:"list"`
	Data    []Conversation `json:"data"`
	FirstID *string        `json:"first_id" nullable:"true"`
	LastID  *string        `json:"last_id" nullable:"true" doc:"Pass it as after for the next page."`
	HasMore bool           `json:"has_more"`
}

type listOutput struct{ Body ConversationList }

func (f *Face) list(ctx context.Context, in *listInput) (*listOutput, error) {
	if in.After != "" && !completion.ValidToken(in.After) {
		return nil, f.answer(ctx, completion.Invalid("after", "The cursor must be the id of a conversation."))
	}
	q := store.ConversationQuery{Search: in.Query, Limit: in.Limit, After: in.After}
	if in.owned {
		q.Owner = &in.Owner
	}
	tenant := access.Of(ctx).Tenant
	page, more, err := f.Store.ListConversations(ctx, tenant, q)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	ids := make([]string, 0, len(page))
	for i := range page {
		ids = append(ids, page[i].ID)
	}
	live, err := f.Store.LiveOf(ctx, tenant, ids)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := ConversationList{Object: "list", Data: make([]Conversation, 0, len(page)), HasMore: more}
	for i := range page {
		v := f.view(&page[i].Conversation, live[page[i].ID])
		v.Match = match(&page[i], in.Query)
		out.Data = append(out.Data, v)
	}
	if n := len(ids); n > 0 {
		out.FirstID, out.LastID = &ids[0], &ids[n-1]
	}
	return &listOutput{Body: out}, nil
}

// answer is how this face returns errors; a nil err is nil.
func (f *Face) answer(ctx context.Context, err error) error {
	return problem.Answer(ctx, f.Logger, err)
}
