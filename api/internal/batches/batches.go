// Package batches is the face of the API for batches: files of requests that are run as jobs, line by line. It is OpenAI's
// Batch API, with pausing, trying again, events and early results beside it.
//
// It promises that every look-up carries the caller's tenant (I8). What happens to a batch is done by package conductor, which
// is told by a ring; what a line may hold and what becomes of it is said by packages line and row.
package batches

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/blob"
	"sluice/api/internal/follow"
	"sluice/api/internal/intake"
	"sluice/api/internal/list"
	"sluice/api/internal/problem"
	"sluice/api/internal/raw"
	"sluice/api/internal/row"
	"sluice/api/internal/viewer"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is what this face needs of the store.
type Store interface {
	row.Jobs
	AddBatch(ctx context.Context, b completion.Batch) (stored completion.Batch, created bool, err error)
	Batch(ctx context.Context, ref completion.Ref) (completion.Batch, error)
	ListBatches(ctx context.Context, tenant string, q store.BatchQuery) (page []completion.Batch, more bool, err error)
	CancelBatch(ctx context.Context, ref completion.Ref, at time.Time) (completion.Batch, error)
	PauseBatch(ctx context.Context, ref completion.Ref, paused bool, at time.Time) (completion.Batch, error)
	AddFile(ctx context.Context, f completion.File) error
	ReadyFile(ctx context.Context, tenant, id string, bytes int64) (completion.File, error)
	DropFile(ctx context.Context, tenant, id string) error
	File(ctx context.Context, tenant, id string, at time.Time) (completion.File, error)
}

// Blobs have the content of files.
type Blobs interface {
	Put(ctx context.Context, name string, r io.Reader) (bytes int64, err error)
	Open(ctx context.Context, name string) (blob.Blob, error)
	Delete(ctx context.Context, name string) error
}

// Bell tells whoever looks after a batch that something about it has changed.
type Bell interface {
	Batch(ref completion.Ref, lines ...int)
}

// Limits hold tenants to what they may do.
type Limits interface {
	Submit(ctx context.Context, tenant string) error
}

// Parts are what a Face is made of. All are required.
type Parts struct {
	Intake *intake.Intake
	Store  Store
	Blobs  Blobs
	Bell   Bell
	Limits Limits
	Follow *follow.Follower
	Door   viewer.Door
	Logger *slog.Logger

	Write time.Duration // longest a client may take to read one page of results
}

// Face serves the routes.
type Face struct{ Parts }

const (
	path = "/v1/batches"
	one  = path + "/{id}"
)

var tags = []string{"Batches"}

// Register adds the routes to api.
func Register(api huma.API, p Parts) {
	f := &Face{Parts: p}
	f.registerCreate(api)
	f.registerResults(api)
	f.registerFollow(api)
	read, write := access.Needs(completion.ScopeRead), access.Needs(completion.ScopeSubmit)
	for _, op := range []struct {
		id, method, path, summary, description string
		security                               []map[string][]string
		errors                                 []int
		answer                                 func(ctx context.Context, in *idInput) (*output, error)
	}{
		{"get-batch", http.MethodGet, one, "Read a batch", "Its state, counts, usage and files, and what is wrong with its input.", read, []int{401, 403, 404, 503}, f.get},
		{"cancel-batch", http.MethodPost, one + "/cancel", "Cancel a batch", "No further line is started, and those that run are ended. The lines that have " +
			"an answer by then are in the output file. A batch that has ended, or is about to, is answered as it is.", write, []int{401, 403, 404, 503}, f.cancel},
		{"pause-batch", http.MethodPost, one + "/pause", "Pause a batch", "No further line goes into the queue. Those that are there, as a rule what " +
			"is run in two seconds and never more than 1,000, and those that run go on, and so does the completion window.", write, []int{401, 403, 404, 409, 503}, f.pause},
		{"resume-batch", http.MethodPost, one + "/resume", "Let a batch go on", "What a pause has ended.", write, []int{401, 403, 404, 409, 503}, f.resume},
		{"retry-batch", http.MethodPost, one + "/retry", "Try the lines again that failed", "Makes a new batch of the lines that failed, expired, were cancelled or never " +
			"ran, in their order, with the same endpoint, metadata and window; retry_of names the old one. A batch is tried again once: a repeat answers with " +
			"the same new batch. 409 for one that has not ended, whose file was not valid, or that has no such line.", write, []int{401, 403, 404, 409, 429, 503}, f.retry},
	} {
		huma.Register(api, huma.Operation{
			OperationID: op.id, Method: op.method, Path: op.path, Tags: tags, Errors: op.errors, Security: op.security,
			Summary: op.summary, Description: op.description, DefaultStatus: http.StatusOK,
		}, op.answer)
		raw.Answers(operation(api, op.path, op.method), false)
	}
	huma.Register(api, huma.Operation{
		OperationID: "list-batches", Method: http.MethodGet, Path: path, Tags: tags, Errors: []int{400, 401, 403, 503}, Security: read,
		Summary: "List batches", Description: "Newest first, without their errors. Pass the last id as after for the next page.",
	}, f.list)
	raw.Answers(api.OpenAPI().Paths[path].Get, false)
}

func operation(api huma.API, path, method string) *huma.Operation {
	if item := api.OpenAPI().Paths[path]; method == http.MethodPost {
		return item.Post
	}
	return api.OpenAPI().Paths[path].Get
}

// output is a batch, in OpenAI's shape.
type output struct {
	ContentType string `header:"Content-Type"`
	Subject     string `header:"X-Sluice-Subject" doc:"The NATS subject on which the batch's events appear."`
	Location    string `header:"Location"`
	Replayed    string `header:"Idempotent-Replayed" doc:"true if there was such a batch already"`
	Body        []byte
}

func show(b *completion.Batch) *output {
	return &output{ContentType: "application/json", Subject: b.Ref().Subject(), Body: b.Object()}
}

// made is show for a batch that was asked for, and may have been there already.
func made(b *completion.Batch, created bool) *output {
	out := show(b)
	out.Location = path + "/" + b.ID
	if !created {
		out.Replayed = "true"
	}
	return out
}

type idInput struct {
	ID string `path:"id" doc:"The batch's id."`
}

// ref names the caller's batch. An id that no batch can have is answered like one that no batch of the tenant has (I8).
func ref(ctx context.Context, id string) (completion.Ref, error) {
	if !completion.ValidToken(id) {
		return completion.Ref{}, completion.ErrNotFound
	}
	return completion.Ref{Tenant: access.Of(ctx).Tenant, Job: id}, nil
}

func (f *Face) find(ctx context.Context, id string) (completion.Batch, error) {
	ref, err := ref(ctx, id)
	if err != nil {
		return completion.Batch{}, err
	}
	return f.Store.Batch(ctx, ref)
}

func (f *Face) get(ctx context.Context, in *idInput) (*output, error) {
	b, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return show(&b), nil
}

func (f *Face) cancel(ctx context.Context, in *idInput) (*output, error) {
	return f.change(ctx, in, func(ref completion.Ref) (completion.Batch, error) { return f.Store.CancelBatch(ctx, ref, time.Now()) })
}

func (f *Face) pause(ctx context.Context, in *idInput) (*output, error) {
	return f.change(ctx, in, func(ref completion.Ref) (completion.Batch, error) {
		return f.Store.PauseBatch(ctx, ref, true, time.Now())
	})
}

func (f *Face) resume(ctx context.Context, in *idInput) (*output, error) {
	return f.change(ctx, in, func(ref completion.Ref) (completion.Batch, error) {
		return f.Store.PauseBatch(ctx, ref, false, time.Now())
	})
}

// change does something to a batch and has whoever looks after it take notice.
func (f *Face) change(ctx context.Context, in *idInput, act func(completion.Ref) (completion.Batch, error)) (*output, error) {
	ref, err := ref(ctx, in.ID)
	var b completion.Batch
	if err == nil {
		b, err = act(ref)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	f.Bell.Batch(ref)
	return show(&b), nil
}

type listInput struct {
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Batches per page."`
	After string `query:"after" maxLength:"64" doc:"The last id of the page before."`
}

func (f *Face) list(ctx context.Context, in *listInput) (*raw.Output, error) {
	if in.After != "" && !completion.ValidToken(in.After) {
		return nil, f.answer(ctx, completion.Invalid("after", "The cursor must be the id of a batch."))
	}
	page, more, err := f.Store.ListBatches(ctx, access.Of(ctx).Tenant, store.BatchQuery{Limit: in.Limit, After: in.After})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	items := make([]list.Item, 0, len(page))
	for i := range page {
		items = append(items, list.Item{ID: page[i].ID, JSON: page[i].Brief()})
	}
	return raw.JSON(list.Render(items, more)), nil
}

// answer is how this face returns errors; a nil err is nil.
func (f *Face) answer(ctx context.Context, err error) error {
	return problem.Answer(ctx, f.Logger, err)
}
