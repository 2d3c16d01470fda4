package batches

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/line"
	"sluice/api/internal/row"
	"sluice/shared/completion"
)

type resultsInput struct {
	ID    string `path:"id" doc:"The batch's id."`
	After int    `query:"after" minimum:"0" maximum:"1000000" doc:"Only lines with a higher number."`
}

func (f *Face) registerResults(api huma.API) {
	op := huma.Operation{
		OperationID: "get-batch-results", Method: http.MethodGet, Path: one + "/results", Tags: tags, Errors: []int{400, 401, 403, 404, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Read the results so far", Description: "The lines that have ended by now, in the order of the input, while the batch still runs or later: as JSONL, each as in " +
			"the output and error files, with the number of its line besides. Lines that end later may have lower numbers; the events tell of each.",
	}
	huma.Register(api, op, f.results)
	api.OpenAPI().Paths[op.Path].Get.Responses["200"] = &huma.Response{
		Description: "The lines", Content: map[string]*huma.MediaType{"application/jsonl": {Schema: &huma.Schema{Type: "string"}}},
	}
}

func (f *Face) results(ctx context.Context, in *resultsInput) (*huma.StreamResponse, error) {
	b, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	rows := f.rows(ctx, &b)
	next, stop := iter.Pull2(rows(in.After))
	first, err, some := next() // what fails at once is an HTTP error
	if err != nil {
		stop()
		return nil, f.answer(ctx, err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer stop()
		_, w := humago.Unwrap(c)
		w.Header().Set("Content-Type", "application/jsonl")
		err := f.write(w, first, some, next)
		if err == nil {
			_, err = f.Store.Batch(ctx, b.Ref()) // if it was pruned meanwhile, these are not all
		}
		if err != nil {
			f.Logger.Warn("results not sent to their end", "batch_id", b.ID, "request_id", completion.RequestID(ctx), "error", err)
			panic(http.ErrAbortHandler) // or they would seem to be all
		}
	}}, nil
}

// write writes rows until there are no more.
func (f *Face) write(w http.ResponseWriter, r row.Row, some bool, next func() (row.Row, error, bool)) error {
	control := http.NewResponseController(w)
	var err error
	for ; some && err == nil; r, err, some = next() {
		_ = control.SetWriteDeadline(time.Now().Add(f.Write)) // a connection that is gone needs none
		if _, err := w.Write(append(line.Numbered(r.Data, r.Line, 0), '\n')); err != nil {
			return err
		}
	}
	return err
}

// rows reads the rows of a batch after a line: those so far or, of one that has ended early, those of the lines that never
// ran as well, while its input is there.
func (f *Face) rows(ctx context.Context, b *completion.Batch) func(after int) iter.Seq2[row.Row, error] {
	from := row.Source{Jobs: f.Store, Files: f.Blobs}
	return func(after int) iter.Seq2[row.Row, error] {
		if b.State != completion.BatchExpired && b.State != completion.BatchCancelled {
			return from.Sofar(ctx, b, after)
		}
		switch _, err := f.Store.File(ctx, b.Tenant, b.Input, time.Now()); {
		case errors.Is(err, completion.ErrNotFound):
			return from.Sofar(ctx, b, after)
		case err != nil:
			return func(yield func(row.Row, error) bool) { yield(row.Row{}, err) }
		}
		return func(yield func(row.Row, error) bool) {
			for r, err := range from.All(ctx, b, b.State) {
				if err == nil && r.Line <= after {
					continue
				}
				if !yield(r, err) {
					return
				}
			}
		}
	}
}
