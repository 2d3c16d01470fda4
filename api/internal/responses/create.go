package responses

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/intake"
	"sluice/api/internal/reply"
	"sluice/api/internal/request"
	"sluice/shared/completion"
	"sluice/shared/limit"
	"sluice/shared/response"
)

type createInput struct {
	Key          string `header:"Idempotency-Key" doc:"Asking again with the same key and body joins the existing job and its stream; with another body it is a 409."`
	OnDisconnect string `header:"X-Sluice-On-Disconnect" enum:"continue,cancel" doc:"What becomes of the job when the client leaves before the end. By default it goes on, unless store is false and there is no idempotency key."`
	Type         string `header:"Content-Type" hidden:"true"`
	RawBody      []byte `contentType:"application/json"`
}

func (f *Face) registerCreate(api huma.API) {
	op := huma.Operation{
		OperationID: "create-response", Method: http.MethodPost, Path: path, Tags: tags,
		Errors:   []int{400, 401, 403, 404, 409, 413, 415, 429, 502, 503, 504},
		Security: access.Needs(completion.ScopeSubmit), SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
		Summary: "Create a response", Description: "As the OpenAI API has it, through the queue: the headers x-sluice-job-id and x-sluice-subject name the job " +
			"behind it. With background: true the answer comes at once, and the response can be polled, streamed and cancelled.",
	}
	huma.Register(api, op, f.create)
	doc := api.OpenAPI().Paths[path].Post
	doc.RequestBody.Content["application/json"] = &huma.MediaType{Schema: anyObject(), Example: json.RawMessage(`{"model":"sim","input":"hello"}`)}
	doc.Responses["200"] = streamed()
}

func streamed() *huma.Response {
	return &huma.Response{Description: "The response, or its events", Content: map[string]*huma.MediaType{
		"application/json": {Schema: anyObject()}, "text/event-stream": {Schema: &huma.Schema{Type: "string"}},
	}}
}

// form is what the body says about the answer's shape.
type form struct{ stream, background, obfuscation bool }

func (f *Face) create(ctx context.Context, in *createInput) (*huma.StreamResponse, error) {
	caller, body := access.Of(ctx), intake.Body{Endpoint: completion.EndpointResponses, Bytes: in.RawBody, Type: in.Type, Key: in.Key}
	if err := f.Intake.Allow(ctx, caller.Tenant, body); err != nil {
		return nil, f.answer(ctx, err)
	}
	job := f.Intake.NewJob(ctx, caller.Tenant, body)
	form, err := f.read(ctx, &job, in.RawBody)
	if err == nil {
		err = f.Models.Check(ctx, job.Model)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	var place *limit.Stream
	if form.stream {
		if place, err = f.Limits.Stream(ctx, caller.Tenant); err != nil {
			return nil, f.answer(ctx, err)
		}
	}
	stored, created, err := f.Intake.Accept(ctx, &job)
	if err != nil {
		if place != nil {
			place.Close()
		}
		return nil, f.answer(ctx, err)
	}
	client := attend.Client{Ref: stored.Ref(), Caller: caller, Place: place, Keep: in.kept(stored.Stored)}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		_, w := humago.Unwrap(c)
		attend.Introduce(w.Header(), stored.Ref(), created)
		switch {
		case form.stream:
			t := f.teller(stored, reply.View{After: -1, Obfuscation: form.obfuscation})
			t.fresh, t.patient = created, !form.background
			f.Desk.Stream(c, client, t.tell, t.fail)
		case form.background:
			write(w, stored)
		default:
			f.Desk.Wait(c, client, answerWith)
		}
	}}, nil
}

// kept reports whether a job goes on when its client leaves.
func (in *createInput) kept(stored bool) bool {
	if in.OnDisconnect != "" {
		return in.OnDisconnect == "continue"
	}
	return stored || in.Key != ""
}

// answerWith answers a client that has waited for the job's end.
func answerWith(w http.ResponseWriter, job completion.Job) error {
	if job.State != completion.Completed {
		return attend.Ended(job)
	}
	write(w, job)
	return nil
}

func write(w http.ResponseWriter, job completion.Job) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(reply.Object(job)) // the client is gone; there is nobody to tell
}

// read checks a body and puts what it says into the job, with what it refers to in place.
func (f *Face) read(ctx context.Context, job *completion.Job, body []byte) (form, error) {
	root, err := request.Object(body)
	if err == nil {
		job.Request, err = f.resolve(ctx, body)
	}
	native := f.Models.Native(ctx, root.Get("model").Str)
	switch {
	case err != nil:
	case native:
		err = response.CheckNative(job.Request)
	default:
		err = response.Check(job.Request)
	}
	if err == nil {
		job.Metadata, err = request.Metadata(root.Get("metadata"))
	}
	if err != nil {
		return form{}, err
	}
	said := form{stream: root.Get("stream").Bool(), background: root.Get("background").Bool(), obfuscation: root.Get("stream_options.include_obfuscation").Bool()}
	job.Model = root.Get("model").Str
	job.Stored = !root.Get("store").Exists() || root.Get("store").Raw != "false"
	switch {
	case len(job.Model) > request.MaxModel:
		return form{}, completion.Invalid("model", "The model's name may have at most %d bytes.", request.MaxModel)
	case said.background && !job.Stored:
		return form{}, completion.Invalid("background", "A response in the background must be stored: \"store\" must not be false.")
	case !said.stream && root.Get("stream_options").IsObject():
		return form{}, completion.Invalid("stream_options", "The parameter \"stream_options\" is only allowed when \"stream\" is true.")
	}
	if id := root.Get("previous_response_id"); id.Str != "" {
		if err := f.extend(ctx, job, id.Str); err != nil {
			return form{}, err
		}
	}
	if native {
		return said, response.CheckNative(job.Request)
	}
	_, err = response.Chat(job.Request)
	return said, err
}
