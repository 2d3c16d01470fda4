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
	"sluice/api/internal/talk"
	"sluice/shared/completion"
)

// AgainRequest documents what package request reads.
type AgainRequest struct {
	Policy     completion.Policy      `json:"policy,omitempty" enum:"queue,reject,interrupt,rollback" doc:"What becomes of a turn under way: queue waits for its end, reject is refused, interrupt cancels it and keeps what it has said, rollback cancels it and takes its question and answer off the path. By default something new waits, and another version interrupts."`
	Parameters *completion.Parameters `json:"parameters,omitempty" doc:"How it is answered; what is left out is for the conversation, its tenant and the server to say."`
	Metadata   map[string]string      `json:"metadata,omitempty" doc:"Of the job: at most 16 pairs, keys of at most 64 and values of at most 512 characters."`
	Timeout    float64                `json:"timeout,omitempty" exclusiveMinimum:"0" maximum:"604800" doc:"Seconds until the job must have ended; otherwise it expires, keeping what it has."`
}

// TurnRequest documents what package request reads.
type TurnRequest struct {
	Content json.RawMessage `json:"content" doc:"What is said: a text, or an array of parts as in chat completions."`
	AgainRequest
}

// Turn is a turn as clients see it: the job that answers it, and its messages.
type Turn struct {
	jobs.Job
	Messages []Message `json:"messages" doc:"What was said, unless it was there before, and the answer, whose id is the job's."`
}

func (f *Face) registerTurns(api huma.API) {
	op := huma.Operation{
		OperationID: "create-turn", Method: http.MethodPost, Path: messages, Tags: tags, Errors: submitErrors, Security: write,
		DefaultStatus: http.StatusAccepted, SkipValidateBody: true, MaxBodyBytes: request.MaxBytes, BodyReadTimeout: time.Minute,
		Summary: "Say something", Description: "Adds a message to the path that goes on, and a job that answers it, as POST /v1/jobs would: the answer's events " +
			"appear on the job's subject, and the answer in the conversation. One turn runs at a time; policy says what becomes of another one. 409 turn_running: " +
			"the policy is reject.",
	}
	huma.Register(api, op, f.say)
	takes[TurnRequest](api, op, `{"content":"hello","policy":"queue"}`)
	op.OperationID, op.Path, op.Summary = "edit-message", message+"/edit", "Say something otherwise"
	op.Description = "Adds another version of what a user has said, and a job that answers it. The old version and what follows it leave the path that goes " +
		"on, and stay readable as a branch."
	huma.Register(api, op, f.edit)
	takes[TurnRequest](api, op, `{"content":"hello again"}`)
	op.OperationID, op.Path, op.Summary = "regenerate-answer", one+"/regenerate", "Answer again"
	op.Description = "Adds another answer to what a user has said last; the old one leaves the path that goes on, and stays readable as a branch. 409 " +
		"nothing_to_answer: nothing was said."
	huma.Register(api, op, f.regenerate)
	takes[AgainRequest](api, op, `{"parameters":{"temperature":1}}`)
}

type turnOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"true if there was such a turn already"`
	Body     Turn
}

// allow counts a request to do something to a conversation.
func (f *Face) allow(ctx context.Context, in *Act, act string) (completion.Ref, intake.Body, error) {
	ref, err := ref(ctx, in.ID)
	body := in.body(act + " " + in.ID)
	if err == nil {
		err = f.Intake.Allow(ctx, ref.Tenant, body)
	}
	return ref, body, err
}

func (f *Face) say(ctx context.Context, in *Act) (*turnOutput, error) {
	ref, body, err := f.allow(ctx, in, "say")
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	asked, err := request.ParseTurn(in.RawBody)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	turn, err := f.Host.Say(ctx, ref, body, asked)
	return f.took(ctx, turn, err)
}

type editInput struct {
	ByMessage
	Act
}

func (f *Face) edit(ctx context.Context, in *editInput) (*turnOutput, error) {
	ref, body, err := f.allow(ctx, &in.Act, "edit "+in.Message)
	if err == nil {
		err = in.valid()
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	asked, err := request.ParseTurn(in.RawBody)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	turn, err := f.Host.Edit(ctx, ref, in.Message, body, asked)
	return f.took(ctx, turn, err)
}

func (f *Face) regenerate(ctx context.Context, in *Act) (*turnOutput, error) {
	ref, body, err := f.allow(ctx, in, "regenerate")
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	asked, err := request.ParseAgain(in.RawBody)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	turn, err := f.Host.Regenerate(ctx, ref, body, asked)
	return f.took(ctx, turn, err)
}

// took answers with a turn that was accepted.
func (f *Face) took(ctx context.Context, turn talk.Turn, err error) (*turnOutput, error) {
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, err := jobs.Accepted(turn.Job, f.Door)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	conversation := completion.Ref{Tenant: turn.Job.Tenant, Job: turn.Job.Conversation}
	shown, err := f.siblings(ctx, conversation, turn.Messages)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &turnOutput{Location: "/v1/jobs/" + turn.Job.ID, Body: Turn{Job: job, Messages: shown}}
	if !turn.Created {
		out.Replayed = "true"
	}
	return out, nil
}
