package conversations

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/intake"
	"sluice/api/internal/jobs"
	"sluice/api/internal/request"
	"sluice/shared/completion"
)

// AsideRequest documents what package request reads.
type AsideRequest struct {
	Content    json.RawMessage        `json:"content" doc:"What is to be answered: a text, or an array of parts as in chat completions."`
	Parameters *completion.Parameters `json:"parameters,omitempty" doc:"How it is answered."`
}

// SuggestionsRequest documents what package request reads.
type SuggestionsRequest struct {
	Count int `json:"count,omitempty" minimum:"1" maximum:"5" default:"3"`
}

// NameRequest has nothing to say.
type NameRequest struct{}

func (f *Face) registerAsides(api huma.API) {
	op := huma.Operation{
		Method: http.MethodPost, Tags: tags, Errors: submitErrors, Security: write,
		DefaultStatus: http.StatusAccepted, SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
	}
	op.OperationID, op.Path, op.Summary = "create-aside", one+"/completions", "Ask beside the conversation"
	op.Description = "A job of the batch lane that answers as if it had been said in the conversation, in which nothing of it is kept. It waits for no turn, and " +
		"no turn for it."
	huma.Register(api, op, f.aside)
	takes[AsideRequest](api, op, `{"content":"Translate what you said last."}`)
	op.OperationID, op.Path, op.Summary = "suggest-questions", one+"/suggestions", "Suggest questions"
	op.Description = "A job of the batch lane whose answer has a question on each line that could be asked next."
	huma.Register(api, op, f.suggest)
	takes[SuggestionsRequest](api, op, `{"count":3}`)
	op.OperationID, op.Path, op.Summary = "name-conversation", one+"/name", "Find a name"
	op.Description = "A job of the batch lane that finds a name for the conversation, which gets it unless it has one. The answer is the name as the model " +
		"has written it."
	huma.Register(api, op, f.name)
	takes[NameRequest](api, op, `{}`)
}

type asideOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"true if there was such a job already"`
	Body     jobs.Job
}

func (f *Face) aside(ctx context.Context, in *Act) (*asideOutput, error) {
	return f.beside(ctx, in, "aside", func(ref completion.Ref, body intake.Body) (completion.Job, bool, error) {
		asked, err := request.ParseAside(in.RawBody)
		if err != nil {
			return completion.Job{}, false, err
		}
		return f.Host.Aside(ctx, ref, body, asked)
	})
}

func (f *Face) suggest(ctx context.Context, in *Act) (*asideOutput, error) {
	return f.beside(ctx, in, "suggest", func(ref completion.Ref, body intake.Body) (completion.Job, bool, error) {
		count, err := request.ParseSuggestions(in.RawBody)
		if err != nil {
			return completion.Job{}, false, err
		}
		return f.Host.Suggest(ctx, ref, body, count)
	})
}

func (f *Face) name(ctx context.Context, in *Act) (*asideOutput, error) {
	return f.beside(ctx, in, "name", func(ref completion.Ref, body intake.Body) (completion.Job, bool, error) {
		if err := request.ParseNothing(in.RawBody); err != nil {
			return completion.Job{}, false, err
		}
		return f.Host.Name(ctx, ref, body)
	})
}

// beside answers with a job that is taken in beside the conversation's turns.
func (f *Face) beside(ctx context.Context, in *Act, act string, take func(ref completion.Ref, body intake.Body) (completion.Job, bool, error)) (*asideOutput, error) {
	ref, body, err := f.allow(ctx, in, act)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, created, err := take(ref, body)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	view, err := jobs.Accepted(job, f.Door)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &asideOutput{Location: "/v1/jobs/" + job.ID, Body: view}
	if !created {
		out.Replayed = "true"
	}
	return out, nil
}
