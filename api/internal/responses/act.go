package responses

import (
	"context"
	"time"

	"github.com/tidwall/gjson"

	"sluice/api/internal/list"
	"sluice/api/internal/raw"
	"sluice/api/internal/reply"
	"sluice/shared/completion"
)

// cancelLimit is how long a cancel waits for the worker to end the job. One that takes longer ends later.
const cancelLimit = 5 * time.Second

func (f *Face) cancel(ctx context.Context, in *idInput) (*raw.Output, error) {
	job, err := f.find(ctx, in.ID)
	if err == nil && !gjson.GetBytes(job.Request, "background").Bool() {
		err = completion.Invalid("id", "Only a response in the background can be cancelled; this one ends with the request that waits for it.")
	}
	if err == nil && !job.State.Final() {
		job, err = f.end(ctx, job.Ref())
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return raw.JSON(reply.Object(job)), nil
}

// end cancels a job and waits for its end, which brings what it has said so far.
func (f *Face) end(ctx context.Context, ref completion.Ref) (completion.Job, error) {
	job, err := f.Intake.Cancel(ctx, ref)
	if err != nil || job.State.Final() {
		return job, err
	}
	waiting, stop := context.WithTimeout(ctx, cancelLimit)
	defer stop()
	for _, err := range f.Log.Follow(waiting, ref, 0) {
		if err != nil {
			f.Logger.Warn("response cancelled, but it has not ended yet", "tenant", ref.Tenant, "job_id", ref.Job, "error", err)
			break
		}
	}
	return f.Store.Get(ctx, ref)
}

func (f *Face) delete(ctx context.Context, in *idInput) (*raw.Output, error) {
	job, err := f.find(ctx, in.ID)
	if err == nil {
		err = f.Store.Unstore(ctx, job.Ref())
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return raw.JSON([]byte(`{"id":"` + completion.Alias(reply.Prefix, job.ID) + `","object":"response","deleted":true}`)), nil
}

func (f *Face) items(ctx context.Context, in *itemsInput) (*raw.Output, error) {
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	var all []list.Item
	for _, item := range reply.Input(job) {
		all = append(all, list.Item{ID: gjson.GetBytes(item, "id").Str, JSON: item})
	}
	page, more, ok := list.Cut(all, in.After, in.Limit, in.Order == "desc")
	if !ok {
		return nil, f.answer(ctx, completion.Invalid("after", "The cursor must be the id of one of the items."))
	}
	return raw.JSON(list.Render(page, more)), nil
}
