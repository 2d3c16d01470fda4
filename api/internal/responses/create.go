package responses

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/raw"
	"sluice/api/internal/reply"
	"sluice/api/internal/request"
	"sluice/shared/completion"
	"sluice/shared/response"
)

type createInput struct {
	attend.Terms
	RawBody []byte `contentType:"application/json"`
}

func (f *Face) registerCreate(api huma.API) {
	op := huma.Operation{
		OperationID: "create-response", Method: http.MethodPost, Path: path, Tags: tags,
		Errors:   []int{400, 401, 402, 403, 404, 409, 413, 415, 429, 502, 503, 504},
		Security: access.Needs(completion.ScopeSubmit), SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
		Summary: "Create a response", Description: "As the OpenAI API has it, through the queue: the headers x-sluice-job-id and x-sluice-subject name the job " +
			"behind it. With background: true the answer comes at once, and the response can be polled, streamed and cancelled.",
	}
	huma.Register(api, op, f.create)
	raw.Takes(api.OpenAPI().Paths[path].Post, `{"model":"sim","input":"hello"}`)
	raw.Answers(api.OpenAPI().Paths[path].Post, true)
}

// form is what the body says about the answer's shape.
type form struct{ stream, background, obfuscation bool }

func (f *Face) create(ctx context.Context, in *createInput) (*huma.StreamResponse, error) {
	var asked form
	client, err := f.Desk.Take(ctx, completion.EndpointResponses, in.Terms, in.RawBody, func(job *completion.Job) (_ attend.Manner, err error) {
		asked, err = f.read(ctx, job, in.RawBody)
		return attend.Manner{Stream: asked.stream, Background: asked.background}, err
	})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		switch {
		case asked.stream:
			t := f.teller(client, reply.View{After: -1, Obfuscation: asked.obfuscation})
			t.fresh, t.patient = client.Created, !asked.background
			f.Desk.Stream(c, client, t.tell, t.fail)
		case asked.background:
			_, w := humago.Unwrap(c)
			client.Introduce(w.Header())
			raw.Write(w, reply.Object(client.Job))
		default:
			f.Desk.Wait(c, client, answerWith)
		}
	}}, nil
}

// answerWith answers a client that has waited for the job's end.
func answerWith(w http.ResponseWriter, job completion.Job) error {
	if job.State != completion.Completed {
		return attend.Ended(job)
	}
	raw.Write(w, reply.Object(job))
	return nil
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
		job.Metadata, err = request.Metadata(root.Get("metadata"), "metadata")
	}
	if err != nil {
		return form{}, err
	}
	said := form{stream: root.Get("stream").Bool(), background: root.Get("background").Bool(), obfuscation: root.Get("stream_options.include_obfuscation").Bool()}
	job.Model = root.Get("model").Str
	job.Stored = !root.Get("store").Exists() || root.Get("store").Raw != "false"
	switch {
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
	return said, request.Whole(job.Request, native)
}
