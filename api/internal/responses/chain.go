package responses

import (
	"context"
	"encoding/json"

	"github.com/tidwall/gjson"

	"sluice/api/internal/reply"
	"sluice/api/internal/request"
	"sluice/shared/completion"
	"sluice/shared/response"
)

// extend puts what was said up to the response id before the job's input. The job of that response has what was before it.
func (f *Face) extend(ctx context.Context, job *completion.Job, id string) error {
	before, err := f.stored(ctx, id)
	if err != nil {
		return err
	}
	if before.ID == "" || before.State != completion.Completed {
		message := "Previous response with id '" + shorten(id) + "' not found."
		if before.ID != "" {
			message = "Previous response with id '" + shorten(id) + "' has not completed."
		}
		e := completion.NewError(completion.CodePrevious, message)
		e.Param = "previous_response_id"
		return e
	}
	job.Request = response.Extend(job.Request, append(reply.Input(before), reply.Output(before)...))
	return fits(job.Request)
}

// maxReferences bounds how many responses a body may refer to by the ids of their items.
const maxReferences = 64

// resolve puts the items of stored responses in the place of references to them. What it does not find stays, to be refused.
func (f *Face) resolve(ctx context.Context, body json.RawMessage) (json.RawMessage, error) {
	references := response.References(body)
	if len(references) == 0 {
		return body, nil
	}
	items, read := map[string]json.RawMessage{}, map[string]bool{}
	for _, id := range references {
		name, ok := reply.ItemJob(id)
		if !ok || read[name] {
			continue
		}
		if read[name] = true; len(read) > maxReferences {
			return nil, completion.Invalid("input", "The input refers to items of more than %d responses.", maxReferences)
		}
		job, err := f.stored(ctx, completion.Alias(reply.Prefix, name))
		if err != nil {
			return nil, err
		}
		if job.ID == "" {
			continue
		}
		for _, item := range append(reply.Input(job), reply.Output(job)...) {
			items[gjson.GetBytes(item, "id").Str] = item
		}
	}
	body = response.Resolve(body, items)
	return body, fits(body)
}

// fits refuses a body that has grown too large.
func fits(body json.RawMessage) error {
	if len(body) > request.MaxBytes {
		return completion.NewError(completion.CodeTooLarge, "The input is too large, with what was said before it.")
	}
	return nil
}

type itemsInput struct {
	ID    string `path:"id" doc:"The id of the response: resp_…"`
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Items per page."`
	After string `query:"after" maxLength:"128" doc:"The last id of the page before."`
	Order string `query:"order" enum:"desc,asc" default:"desc" doc:"The last first, or as they were said."`
}
