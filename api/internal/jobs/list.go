package jobs

import (
	"context"
	"strings"
	"time"

	"sluice/api/internal/access"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
	"sluice/shared/store"
)

type listInput struct {
	State         completion.State `query:"state" enum:"queued,running,completed,failed,cancelled,expired" doc:"Only jobs in this state."`
	Lane          completion.Lane  `query:"lane" enum:"interactive,batch" doc:"Only jobs of this lane."`
	Model         string           `query:"model" maxLength:"256" doc:"Only jobs for this model."`
	Batch         string           `query:"batch" maxLength:"64" doc:"The jobs that are lines of this batch, ordered by line: desc is the last line first. Without it the list has no lines of batches."`
	CreatedAfter  time.Time        `query:"created_after" doc:"Only jobs created after this time (RFC 3339)."`
	CreatedBefore time.Time        `query:"created_before" doc:"Only jobs created before this time (RFC 3339)."`
	Limit         int              `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Jobs per page."`
	After         string           `query:"after" maxLength:"64" doc:"The last id of the page before."`
	Order         string           `query:"order" enum:"desc,asc" default:"desc" doc:"By creation: desc is newest first."`
}

// JobList is one page of a list, in the shape of OpenAI's lists.
type JobList struct {
	Object  string  `json:"object" enum:"list"`
	Data    []Job   `json:"data"`
	FirstID *string `json:"first_id" nullable:"true"`
	LastID  *string `json:"last_id" nullable:"true" doc:"Pass it as after for the next page."`
	HasMore bool    `json:"has_more"`
}

type listOutput struct{ Body JobList }

func (f *Face) list(ctx context.Context, in *listInput) (*listOutput, error) {
	if in.After != "" && !completion.ValidToken(in.After) {
		return nil, f.answer(ctx, completion.Invalid("after", "The cursor must be the id of a job."))
	}
	if in.Batch != "" && (!completion.ValidToken(in.Batch) || !strings.HasPrefix(in.Batch, completion.BatchPrefix)) {
		return nil, f.answer(ctx, completion.Invalid("batch", "This must be the id of a batch."))
	}
	jobs, next, err := f.Store.List(ctx, access.Of(ctx).Tenant, store.Query{
		State: in.State, Lane: in.Lane, Model: in.Model, Batch: in.Batch, CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore,
		Limit: in.Limit, After: in.After, Oldest: in.Order == "asc",
	})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	page := JobList{Object: "list", Data: make([]Job, 0, len(jobs)), HasMore: next != ""}
	for _, j := range jobs {
		page.Data = append(page.Data, f.view(j))
	}
	if n := len(page.Data); n > 0 {
		page.FirstID, page.LastID = &page.Data[0].ID, &page.Data[n-1].ID
	}
	return &listOutput{Body: page}, nil
}

// answer is how this face returns errors; a nil err is nil.
func (f *Face) answer(ctx context.Context, err error) error {
	return problem.Answer(ctx, f.Logger, err)
}
