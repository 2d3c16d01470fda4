// Package jobs is the native face of the API: submit, read, list, follow and cancel jobs under /v1/jobs.
//
// It promises that every look-up carries the caller's tenant (I8). It leaves to package intake what accepting and cancelling
// mean, to package access who the caller is, the reading of bodies to package request and errors to package problem.
package jobs

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/follow"
	"sluice/api/internal/intake"
	"sluice/api/internal/request"
	"sluice/api/internal/viewer"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is what this face needs of the store.
type Store interface {
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	List(ctx context.Context, tenant string, q store.Query) (jobs []completion.Job, next string, err error)
}

// Limits hold tenants to what they may do.
type Limits interface {
	Submit(ctx context.Context, tenant string) error
}

// Models knows which models there are.
type Models interface {
	Native(ctx context.Context, model string) bool
}

// Parts are what a Face is made of.
type Parts struct {
	Intake *intake.Intake
	Store  Store
	Models Models
	Limits Limits
	Follow *follow.Follower
	Door   viewer.Door
	Logger *slog.Logger
}

// Face serves the routes.
type Face struct{ Parts }

// Register adds the routes to api.
func Register(api huma.API, p Parts) {
	f := &Face{Parts: p}
	f.registerSubmit(api)
	huma.Register(api, huma.Operation{
		OperationID: "get-job", Method: http.MethodGet, Path: "/v1/jobs/{id}", Tags: tags, Errors: []int{401, 403, 404, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Read a job", Description: "State, attempts, result, usage and error of one job.",
	}, f.get)
	huma.Register(api, huma.Operation{
		OperationID: "list-jobs", Method: http.MethodGet, Path: "/v1/jobs", Tags: tags, Errors: []int{400, 401, 403, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "List jobs", Description: "Newest first, without their results. Pass the last id as after for the next page. Lines of a batch are listed by batch only.",
	}, f.list)
	huma.Register(api, huma.Operation{
		OperationID: "cancel-job", Method: http.MethodPost, Path: "/v1/jobs/{id}/cancel", Tags: tags, Errors: []int{401, 403, 404, 503},
		Security: access.Needs(completion.ScopeSubmit),
		Summary:  "Cancel a job", Description: "Ends the job in any state, keeping the text and usage so far. A running job is told to stop " +
			"and shows cancel_requested until it has; a job in a final state is returned as it is.",
	}, f.cancel)
	f.registerRetry(api)
	f.registerEvents(api)
	f.registerCredential(api)
	Nullable(api.OpenAPI().Components.Schemas.Map()["Job"], "error")
}

// Nullable says of a property whose type is another schema that it may be null, which tags cannot.
func Nullable(s *huma.Schema, property string) {
	s.Properties[property] = &huma.Schema{OneOf: []*huma.Schema{s.Properties[property], {Type: "null"}}}
}

var tags = []string{"Jobs"}

type submitInput struct {
	Key     string `header:"Idempotency-Key" doc:"Submitting again with the same key and body joins the existing job; with another body it is a 409."`
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

type jobOutput struct{ Body Job }

type submitOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"true if there was such a job already"`
	Body     Job
}

// submitBody documents what package request reads.
type submitBody struct {
	Request  map[string]any      `json:"request" doc:"A body of the endpoint, by default a chat completion: model, messages and any other parameter. It reaches the upstream as it is, unknown parameters included; only stream and stream_options are set."`
	Endpoint completion.Endpoint `json:"endpoint,omitempty" enum:"/v1/chat/completions,/v1/completions,/v1/embeddings,/v1/responses" default:"/v1/chat/completions" doc:"Which OpenAI endpoint the request is for."`
	Lane     completion.Lane     `json:"lane,omitempty" enum:"interactive,batch" default:"interactive" doc:"Batch jobs never delay interactive ones."`
	Metadata map[string]string   `json:"metadata,omitempty" doc:"At most 16 pairs, keys of at most 64 and values of at most 512 characters."`
	Timeout  float64             `json:"timeout,omitempty" exclusiveMinimum:"0" maximum:"604800" doc:"Seconds until the job must have ended; otherwise it expires, keeping what it has. The default depends on the lane."`
	Deadline time.Time           `json:"deadline,omitempty" doc:"The same as a time, instead of timeout."`
}

func (f *Face) registerSubmit(api huma.API) {
	op := huma.Operation{
		OperationID: "submit-job", Method: http.MethodPost, Path: "/v1/jobs", Tags: tags, Errors: []int{400, 401, 402, 403, 409, 413, 415, 429, 503},
		Security:      access.Needs(completion.ScopeSubmit),
		DefaultStatus: http.StatusAccepted, SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
		Summary: "Submit a job", Description: "Accepts a chat completion and answers at once with the subject on which its events will appear. " +
			"An accepted job reaches a final state whatever happens.",
	}
	huma.Register(api, op, f.submit)
	media := api.OpenAPI().Paths[op.Path].Post.RequestBody.Content["application/json"]
	media.Schema = huma.SchemaFromType(api.OpenAPI().Components.Schemas, reflect.TypeFor[submitBody]())
	media.Example = json.RawMessage(`{"request":{"model":"sim","messages":[{"role":"user","content":"hello"}]},"lane":"interactive","metadata":{"user":"42"}}`)
}

func (f *Face) submit(ctx context.Context, in *submitInput) (*submitOutput, error) {
	tenant, body := access.Of(ctx).Tenant, intake.Body{Bytes: in.RawBody, Type: in.Type, Key: in.Key}
	if err := f.Intake.Allow(ctx, tenant, body); err != nil {
		return nil, f.answer(ctx, err)
	}
	read, err := request.Parse(in.RawBody, func(model string) bool { return f.Models.Native(ctx, model) })
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job := f.Intake.NewJob(ctx, tenant, body)
	job.Endpoint, job.Request, job.Model = read.Endpoint, read.Request, read.Model
	job.Lane, job.Metadata, job.Deadline = read.Lane, read.Metadata, read.Deadline
	stored, created, err := f.Intake.Accept(ctx, &job)
	return f.accepted(ctx, stored, created, err)
}

// accepted answers with the new job, or with the one that is there already.
func (f *Face) accepted(ctx context.Context, stored completion.Job, created bool, err error) (*submitOutput, error) {
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	view, err := Accepted(stored, f.Door)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &submitOutput{Location: "/v1/jobs/" + stored.ID, Body: view}
	if !created {
		out.Replayed = "true"
	}
	return out, nil
}

type idInput struct {
	ID string `path:"id" doc:"The job's id."`
}

// ref names the caller's job. An id that no job can have is answered like one that no job of the tenant has (I8).
func ref(ctx context.Context, id string) (completion.Ref, error) {
	if !completion.ValidToken(id) {
		return completion.Ref{}, completion.ErrNotFound
	}
	return completion.Ref{Tenant: access.Of(ctx).Tenant, Job: id}, nil
}

func (f *Face) find(ctx context.Context, id string) (completion.Job, error) {
	ref, err := ref(ctx, id)
	if err != nil {
		return completion.Job{}, err
	}
	return f.Store.Get(ctx, ref)
}

func (f *Face) get(ctx context.Context, in *idInput) (*jobOutput, error) {
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &jobOutput{Body: f.view(job)}, nil
}
