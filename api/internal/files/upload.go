package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/blob"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// uploadInput leaves the body to the handler.
type uploadInput struct{ call huma.Context }

// Resolve is huma's.
func (in *uploadInput) Resolve(ctx huma.Context) []error {
	in.call = ctx
	return nil
}

// errSlow is the cause that ends an upload after store.UploadTime.
var errSlow = errors.New("the upload took longer than it may")

func (f *face) upload(ctx context.Context, in *uploadInput) (*fileOutput, error) {
	r, w := humago.Unwrap(in.call)
	ctx, cancel := context.WithTimeoutCause(ctx, store.UploadTime, errSlow)
	defer cancel()
	b := newBody(w, r, f.Client)
	file, err := f.accept(ctx, access.Of(ctx).Tenant, r, b)
	b.end(err == nil)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &fileOutput{view(&file)}, nil
}

// accept reads the request's body b and keeps the file that is in it, or nothing.
func (f *face) accept(ctx context.Context, tenant string, r *http.Request, b *body) (completion.File, error) {
	if err := f.Limits.Submit(ctx, tenant); err != nil {
		return completion.File{}, err
	}
	if r.ContentLength > b.left {
		return completion.File{}, tooLarge(completion.MaxFileBytes)
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return completion.File{}, completion.NewError(completion.CodeMediaType, "The body must be multipart/form-data.")
	}
	if params["boundary"] == "" {
		return completion.File{}, completion.Invalid("", "The content type names no boundary.")
	}
	now := time.Now()
	u := &upload{face: f, file: completion.File{ID: completion.NewFileID(), Tenant: tenant, CreatedAt: now}}
	if err := u.read(ctx, multipart.NewReader(b, params["boundary"])); err != nil {
		return completion.File{}, u.discard(ctx, err)
	}
	if _, err := io.Copy(io.Discard, b); err != nil { // or it was cut behind the form
		return completion.File{}, u.discard(ctx, broken(err))
	}
	return u.finish(ctx)
}

// upload is one that is under way.
type upload struct {
	*face
	form form
	file completion.File // as it is stored
	put  bool            // it is stored, and there may be content
}

// read goes through the fields and puts the file's content where it belongs, while it comes.
func (u *upload) read(ctx context.Context, m *multipart.Reader) error {
	for {
		part, err := m.NextPart()
		if err == io.EOF { //nolint:errorlint // the end of the form is io.EOF itself; what wraps it is a body that was cut
			return u.form.check(u.file.Bytes)
		}
		if err != nil {
			return broken(err)
		}
		if field := part.FormName(); field == fieldFile {
			err = u.content(ctx, part)
		} else if err = u.form.take(field, part); err != nil {
			err = broken(err)
		}
		if err != nil {
			return err
		}
	}
}

// content stores the row of the file and then its content.
func (u *upload) content(ctx context.Context, part *multipart.Part) error {
	if err := u.form.begin(fieldFile); err != nil {
		return err
	}
	if part.FileName() == "" {
		return completion.Invalid(fieldFile, "The field %q must be a file, with a name.", fieldFile)
	}
	u.file.Name, u.file.Purpose, u.file.ExpiresAt = cleanName(part.FileName()), u.form.purpose, u.form.expires(u.file.CreatedAt)
	if err := u.Store.AddFile(ctx, u.file); err != nil {
		return err
	}
	u.put = true
	from := &atMost{r: part, limit: u.form.most()}
	n, err := u.Blobs.Put(ctx, blob.Name(u.file.Tenant, u.file.ID), from)
	u.file.Bytes = n
	switch {
	case err == nil:
		return nil
	case from.err != nil:
		return broken(from.err)
	case context.Cause(ctx) == errSlow: //nolint:errorlint // the very one that was given to the context
		return completion.Invalid("", "The upload took longer than %s.", store.UploadTime)
	case ctx.Err() != nil:
		return broken(err)
	default:
		return completion.NewError(completion.CodeUnavailable, "").Because(err)
	}
}

// finish shows the file, whose content is there. From here on it is not taken back: if the store's answer gets lost, the
// file may be shown already; if it is not, the Janitor has it.
func (u *upload) finish(ctx context.Context) (completion.File, error) {
	ctx = context.WithoutCancel(ctx) // a client that leaves now has sent everything
	if last := u.form.expires(u.file.CreatedAt); u.file.Purpose != u.form.purpose || !u.file.ExpiresAt.Equal(last) {
		u.file.Purpose, u.file.ExpiresAt = u.form.purpose, last
		if err := u.Store.DescribeFile(ctx, u.file); err != nil {
			return completion.File{}, err
		}
	}
	file, err := u.Store.ReadyFile(ctx, u.file.Tenant, u.file.ID, u.file.Bytes)
	if errors.Is(err, completion.ErrNotFound) { // it was given up, and perhaps dropped before the content was there
		err = u.discard(ctx, completion.NewError(completion.CodeUnavailable, "").Because(err))
	}
	return file, err
}

// discardLimit is how long taking back may take that was stored of an upload.
const discardLimit = 10 * time.Second

// discard takes back what was stored of an upload that ended with err, and returns err. What it cannot, the Janitor does.
func (u *upload) discard(ctx context.Context, err error) error {
	if !u.put {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardLimit)
	defer cancel()
	left := u.Blobs.Delete(ctx, blob.Name(u.file.Tenant, u.file.ID))
	if left == nil {
		left = u.Store.DropFile(ctx, u.file.Tenant, u.file.ID)
	}
	if left != nil {
		u.Logger.Warn("what came of an upload is removed later", "file_id", u.file.ID, "error", left)
	}
	return err
}

// broken is what a client is told of a body that could not be read to its end.
func broken(err error) error {
	var said *completion.Error
	switch {
	case errors.As(err, &said):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return completion.Invalid("", "The upload was given up: nothing came for too long.").Because(err)
	default:
		return completion.Invalid("", "The body ended early, or it is not valid multipart/form-data.").Because(fmt.Errorf("read form: %w", err))
	}
}

// describeUpload says what the form has, which huma cannot know.
func describeUpload(op *huma.Operation) {
	text := func(about string) *huma.Schema { return &huma.Schema{Type: "string", Description: about} }
	purpose := text("What the file is for.")
	for _, p := range purposes() {
		purpose.Enum = append(purpose.Enum, p)
	}
	from, to := float64(seconds(completion.MinFileAge)), float64(seconds(completion.MaxFileAge))
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
		Type: "object", Required: []string{fieldFile, fieldPurpose},
		Properties: map[string]*huma.Schema{
			fieldFile:    {Type: "string", Format: "binary", Description: "The file, with its name."},
			fieldPurpose: purpose,
			fieldAnchor:  {Type: "string", Enum: []any{anchor}, Description: "From when the seconds count."},
			fieldSeconds: {Type: "integer", Minimum: &from, Maximum: &to, Description: "The file goes by itself after so long; by default a batch file after 30 days, others never."},
		},
	}}}}
}
