package openai

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/raw"
	"sluice/api/internal/request"
	"sluice/api/internal/result"
	"sluice/api/internal/sse"
	"sluice/shared/completion"
)

type createInput struct {
	attend.Terms
	RawBody []byte `contentType:"application/json"`
}

func (f *Face) registerCreate(api huma.API) {
	for _, e := range []struct {
		endpoint           completion.Endpoint
		id, title, example string
	}{
		{completion.EndpointChat, "create-chat-completion", "chat completion", `{"model":"sim","messages":[{"role":"user","content":"hello"}]}`},
		{completion.EndpointCompletions, "create-completion", "text completion", `{"model":"sim","prompt":"hello"}`},
		{completion.EndpointEmbeddings, "create-embedding", "list of embeddings", `{"model":"sim","input":"hello"}`},
	} {
		op := huma.Operation{
			OperationID: e.id, Method: http.MethodPost, Path: string(e.endpoint), Tags: tags,
			Errors:   []int{400, 401, 402, 403, 404, 409, 413, 415, 429, 502, 503, 504},
			Security: access.Needs(completion.ScopeSubmit), SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
			Summary: "Create a " + e.title, Description: "As the OpenAI API has it, through the queue: the headers x-sluice-job-id and " +
				"x-sluice-subject name the job behind it. Parameters reach the upstream as they are, unknown ones included.",
		}
		huma.Register(api, op, func(ctx context.Context, in *createInput) (*huma.StreamResponse, error) {
			return f.create(ctx, e.endpoint, in)
		})
		raw.Takes(api.OpenAPI().Paths[op.Path].Post, e.example)
		raw.Answers(api.OpenAPI().Paths[op.Path].Post, e.endpoint.Streams())
	}
}

func (f *Face) create(ctx context.Context, e completion.Endpoint, in *createInput) (*huma.StreamResponse, error) {
	var asked form
	client, err := f.Desk.Take(ctx, e, in.Terms, in.RawBody, func(job *completion.Job) (_ attend.Manner, err error) {
		asked, err = read(job, in.RawBody)
		return attend.Manner{Stream: asked.stream}, err
	})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		if !asked.stream {
			f.Desk.Wait(c, client, reply)
			return
		}
		t := &teller{face: f, form: asked, client: client}
		f.Desk.Stream(c, client, t.tell, fail)
	}}, nil
}

// reply writes a job's answer in one piece.
func reply(w http.ResponseWriter, job completion.Job) error {
	if job.State != completion.Completed {
		return attend.Ended(job)
	}
	raw.Write(w, result.Of(&job))
	return nil
}

// fail ends an event stream with an error, as the SDKs expect it in mid-stream.
func fail(s *sse.Stream, err error) {
	_ = s.Send("", "", errorFrame(err)) // the client may be gone as well
}

// form is what the body says about the answer's shape.
type form struct {
	stream bool
	usage  bool // the stream shall tell the usage
}

// read checks a body and puts what it says into the job.
func read(job *completion.Job, body []byte) (form, error) {
	root, err := request.Object(body)
	if err != nil {
		return form{}, err
	}
	if job.Model, err = request.Check(job.Endpoint, root, ""); err != nil {
		return form{}, err
	}
	job.Request = body
	stream, options := root.Get("stream").Bool(), root.Get("stream_options")
	if !job.Endpoint.Streams() && stream {
		return form{}, completion.Invalid("stream", "Embeddings cannot be streamed.")
	}
	if job.Endpoint.Streams() && !stream && options.IsObject() {
		return form{}, completion.Invalid("stream_options", "The parameter \"stream_options\" is only allowed when \"stream\" is true.")
	}
	if job.Endpoint == completion.EndpointChat {
		job.Stored = root.Get("store").Bool()
		if job.Metadata, err = request.Metadata(root.Get("metadata"), "metadata"); err != nil {
			return form{}, err
		}
	}
	return form{stream: stream, usage: options.Get("include_usage").Bool()}, nil
}
