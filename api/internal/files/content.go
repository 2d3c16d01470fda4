package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/blob"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
)

func (f *face) content(ctx context.Context, in *idInput) (*huma.StreamResponse, error) {
	file, err := f.Store.File(ctx, access.Of(ctx).Tenant, in.ID, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	b, err := f.Blobs.Open(ctx, blob.Name(file.Tenant, file.ID))
	switch {
	case errors.Is(err, fs.ErrNotExist): // the row says it is there: not every process may see the same folder
		return nil, f.answer(ctx, fmt.Errorf("content of a file is missing: %w", err))
	case err != nil:
		return nil, f.answer(ctx, completion.NewError(completion.CodeUnavailable, "").Because(err))
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer func() { _ = b.Close() }() // nothing was written to it
		f.serve(c, &file, b)
	}}, nil
}

func (f *face) serve(c huma.Context, file *completion.File, b blob.Blob) {
	r, w := humago.Unwrap(c)
	h := w.Header()
	h.Set("Content-Type", mediaType(file.Purpose))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": file.Name}))
	h.Set("Etag", `"`+file.ID+`"`) // a file's content never changes
	http.ServeContent(&paced{ResponseWriter: w, control: http.NewResponseController(w), limit: f.Client}, r, "", file.CreatedAt, b)
}

// mediaType is one that no browser shows or runs as part of a page.
func mediaType(p completion.Purpose) string {
	if p == completion.PurposeBatch || p == completion.PurposeBatchOutput {
		return "application/jsonl"
	}
	return "application/octet-stream"
}

// paced gives each write a deadline of its own: that is how a client that does not read is found, and one that reads slowly
// is let finish.
type paced struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
	refused bool
}

// WriteHeader gives a range that is not there the body that all errors have, in place of http.ServeContent's.
func (p *paced) WriteHeader(status int) {
	if status != http.StatusRequestedRangeNotSatisfiable {
		p.ResponseWriter.WriteHeader(status)
		return
	}
	p.refused = true
	p.Header().Del("Content-Disposition")
	problem.Write(p.ResponseWriter, completion.NewError(completion.CodeRange, ""))
}

func (p *paced) Write(b []byte) (int, error) {
	if p.refused {
		return len(b), nil
	}
	_ = p.control.SetWriteDeadline(time.Now().Add(p.limit)) // a connection that is gone needs none
	return p.ResponseWriter.Write(b)
}

// describeContent says what the answer is, which huma cannot know.
func describeContent(op *huma.Operation) {
	content := map[string]*huma.MediaType{}
	for _, kind := range []string{"application/octet-stream", "application/jsonl"} {
		content[kind] = &huma.MediaType{Schema: &huma.Schema{Type: "string", Format: "binary"}}
	}
	op.Responses["200"] = &huma.Response{Description: "The whole content", Content: content}
	op.Responses["206"] = &huma.Response{Description: "The range that was asked for", Content: content}
}
