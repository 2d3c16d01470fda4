// Package responses is the face of the API for OpenAI's Responses: created, polled, streamed from any event on as often as
// wanted, cancelled and deleted.
//
// A response is a job like any other, whose worker asks its upstream for the chat completion that means the same. It promises
// that a stored response can be watched by anybody of its tenant at any time, also one that was not made in the background,
// for as long as it is kept. It leaves accepting to package intake, waiting to package attend, what a body means to package
// response of shared, and what a response looks like to package reply.
package responses

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/intake"
	"sluice/api/internal/problem"
	"sluice/api/internal/raw"
	"sluice/api/internal/reply"
	"sluice/shared/completion"
)

// Store is what this face needs of the store.
type Store interface {
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	Unstore(ctx context.Context, ref completion.Ref) error
}

// Models knows which models there are.
type Models interface {
	Native(ctx context.Context, model string) bool
}

// Parts are what a Face is made of.
type Parts struct {
	Intake *intake.Intake
	Desk   *attend.Desk
	Store  Store
	Log    completion.Log
	Models Models
	Logger *slog.Logger
}

// Face serves the routes.
type Face struct{ Parts }

const path = string(completion.EndpointResponses)

var tags = []string{"OpenAI"}

// Register adds the routes to api.
func Register(api huma.API, p Parts) {
	f := &Face{Parts: p}
	f.registerCreate(api)
	f.registerGet(api)
	read := []int{400, 401, 403, 404, 503}
	huma.Register(api, huma.Operation{
		OperationID: "cancel-response", Method: http.MethodPost, Path: path + "/{id}/cancel", Tags: tags, Errors: read, Security: access.Needs(completion.ScopeSubmit),
		Summary: "Cancel a response", Description: "Ends a response that was made in the background; what it has said so far is kept. One that has ended is answered as it is.",
	}, f.cancel)
	huma.Register(api, huma.Operation{
		OperationID: "delete-response", Method: http.MethodDelete, Path: path + "/{id}", Tags: tags, Errors: read, Security: access.Needs(completion.ScopeSubmit),
		Summary: "Delete a response", Description: "The job behind it goes with it; one that has not ended goes on first. Its events stay in the event log for as long as that keeps them.",
	}, f.delete)
	huma.Register(api, huma.Operation{
		OperationID: "list-response-input-items", Method: http.MethodGet, Path: path + "/{id}/input_items", Tags: tags, Errors: read, Security: access.Needs(completion.ScopeRead),
		Summary: "List the input items of a response", Description: "Those of the responses before it come first.",
	}, f.items)
	for _, op := range []*huma.Operation{
		api.OpenAPI().Paths[path+"/{id}/cancel"].Post, api.OpenAPI().Paths[path+"/{id}"].Delete, api.OpenAPI().Paths[path+"/{id}/input_items"].Get,
	} {
		raw.Answers(op, false)
	}
}

type idInput struct {
	ID string `path:"id" doc:"The id of the response: resp_…"`
}

// answer is how this face returns errors; a nil err is nil.
func (f *Face) answer(ctx context.Context, err error) error {
	return problem.Answer(ctx, f.Logger, err)
}

func notFound(id string) error {
	e := completion.NewError(completion.CodeNotFound, "Response with id '"+shorten(id)+"' not found.")
	e.Param = "id"
	return e
}

// shorten quotes what a client said, so that it can be shown.
func shorten(id string) string {
	quoted := strconv.QuoteToASCII(id[:min(len(id), 80)])
	return quoted[1 : len(quoted)-1]
}

// find returns the job of a stored response of the caller's tenant (I8).
func (f *Face) find(ctx context.Context, id string) (completion.Job, error) {
	job, err := f.stored(ctx, id)
	if err == nil && job.ID == "" {
		err = notFound(id)
	}
	return job, err
}

// stored is find with an empty job for a response that is not there.
func (f *Face) stored(ctx context.Context, id string) (completion.Job, error) {
	name, ok := completion.Unalias(reply.Prefix, id)
	if !ok {
		return completion.Job{}, nil
	}
	job, err := f.Store.Get(ctx, completion.Ref{Tenant: access.Of(ctx).Tenant, Job: name})
	switch {
	case err == nil && job.Stored && job.Endpoint == completion.EndpointResponses:
		return job, nil
	case err == nil || completion.AsError(err).Code == completion.CodeNotFound:
		return completion.Job{}, nil
	default:
		return completion.Job{}, err
	}
}
