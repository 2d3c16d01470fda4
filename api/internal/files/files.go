// Package files is the face with which a tenant uploads files, reads and deletes them under /v1/files, as OpenAI's Files API
// has it; it reaches no other tenant's files (I8). A Janitor removes the content of those that are gone.
//
// A file's row is stored first, then its content, and only then is it shown. So each content has a row as long as it is
// there, and an upload that is cut leaves nothing: it takes back what it has stored, and where that fails, the Janitor does it.
package files

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/blob"
	"sluice/api/internal/optional"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is where the rows of files are kept.
type Store interface {
	AddFile(ctx context.Context, f completion.File) error
	DescribeFile(ctx context.Context, f completion.File) error
	ReadyFile(ctx context.Context, tenant, id string, bytes int64) (completion.File, error)
	DropFile(ctx context.Context, tenant, id string) error
	File(ctx context.Context, tenant, id string, at time.Time) (completion.File, error)
	ListFiles(ctx context.Context, tenant string, q store.FileQuery, at time.Time) (page []completion.File, more bool, err error)
	DeleteFile(ctx context.Context, tenant, id string, at time.Time) (completion.File, error)
}

// Limits hold tenants to what they may do.
type Limits interface {
	Submit(ctx context.Context, tenant string) error
}

// Parts are what the face works with.
type Parts struct {
	Store  Store
	Blobs  blob.Store
	Limits Limits
	Logger *slog.Logger
	Client time.Duration // longest that a client may send nothing of its upload, or read nothing of its download
}

// File is a file as clients see it.
type File struct {
	ID            string             `json:"id" example:"file-01933b1c5f6c7d8e9f00112233445566"`
	Object        string             `json:"object" enum:"file"`
	Bytes         int64              `json:"bytes"`
	CreatedAt     int64              `json:"created_at" doc:"In Unix seconds."`
	ExpiresAt     *int64             `json:"expires_at" nullable:"true" doc:"When it goes by itself; null: never."`
	Filename      string             `json:"filename"`
	Purpose       completion.Purpose `json:"purpose" enum:"assistants,batch,fine-tune,vision,user_data,evals,batch_output"`
	Status        string             `json:"status" enum:"processed"`
	StatusDetails *string            `json:"status_details" nullable:"true" doc:"Always null."`
}

// FileList is a page of files.
type FileList struct {
	Object  string  `json:"object" enum:"list"`
	Data    []File  `json:"data"`
	FirstID *string `json:"first_id" nullable:"true"`
	LastID  *string `json:"last_id" nullable:"true"`
	HasMore bool    `json:"has_more"`
}

// FileDeleted says that a file is gone.
type FileDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object" enum:"file"`
	Deleted bool   `json:"deleted"`
}

type fileOutput struct{ Body File }

type listOutput struct{ Body FileList }

type deletedOutput struct{ Body FileDeleted }

type listInput struct {
	Purpose string `query:"purpose" maxLength:"64" doc:"Only those with this purpose."`
	Limit   int    `query:"limit" minimum:"1" maximum:"10000" default:"10000" doc:"Files per page."`
	After   string `query:"after" maxLength:"64" doc:"The last id of the page before."`
	Order   string `query:"order" enum:"asc,desc" default:"desc" doc:"By creation."`
}

type idInput struct {
	ID string `path:"id" doc:"The file's id."`
}

// face serves the routes.
type face struct{ Parts }

var tags = []string{"Files"}

// Register adds the routes to api.
func Register(api huma.API, p Parts) {
	f := &face{p}
	submit, read := access.Needs(completion.ScopeSubmit), access.Needs(completion.ScopeRead)
	huma.Register(api, huma.Operation{
		OperationID: "upload-file", Method: http.MethodPost, Path: "/v1/files", Tags: tags, Security: submit, Errors: []int{400, 401, 403, 413, 415, 429, 503},
		DefaultStatus: http.StatusOK, Summary: "Upload a file",
		Description: "In one multipart form. The content is streamed, and kept as it is: up to 200 MB of purpose batch, 512 MB of others.",
	}, f.upload)
	describeUpload(api.OpenAPI().Paths["/v1/files"].Post)
	huma.Register(api, huma.Operation{
		OperationID: "list-files", Method: http.MethodGet, Path: "/v1/files", Tags: tags, Security: read, Errors: []int{400, 401, 403, 503},
		Summary: "List files", Description: "The tenant's files, the newest first unless order says asc.",
	}, f.list)
	huma.Register(api, huma.Operation{
		OperationID: "get-file", Method: http.MethodGet, Path: "/v1/files/{id}", Tags: tags, Security: read, Errors: []int{401, 403, 404, 503},
		Summary: "Read what is known of a file",
	}, f.get)
	huma.Register(api, huma.Operation{
		OperationID: "get-file-content", Method: http.MethodGet, Path: "/v1/files/{id}/content", Tags: tags, Security: read, Errors: []int{401, 403, 404, 503},
		Summary: "Download a file", Description: "Byte for byte as it was uploaded; ranges and conditions as in RFC 9110.",
	}, f.content)
	describeContent(api.OpenAPI().Paths["/v1/files/{id}/content"].Get)
	huma.Register(api, huma.Operation{
		OperationID: "delete-file", Method: http.MethodDelete, Path: "/v1/files/{id}", Tags: tags, Security: submit, Errors: []int{401, 403, 404, 409, 503},
		DefaultStatus: http.StatusOK, Summary: "Delete a file", Description: "Not while a batch that has not ended reads it.",
	}, f.delete)
}

func (f *face) list(ctx context.Context, in *listInput) (*listOutput, error) {
	page, more, err := f.Store.ListFiles(ctx, access.Of(ctx).Tenant, store.FileQuery{
		Purpose: completion.Purpose(in.Purpose), Limit: in.Limit, After: in.After, Newest: in.Order == "desc",
	}, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &listOutput{Body: FileList{Object: "list", Data: make([]File, 0, len(page)), HasMore: more}}
	for i := range page {
		out.Body.Data = append(out.Body.Data, view(&page[i]))
	}
	if n := len(page); n > 0 {
		out.Body.FirstID, out.Body.LastID = &page[0].ID, &page[n-1].ID
	}
	return out, nil
}

func (f *face) get(ctx context.Context, in *idInput) (*fileOutput, error) {
	file, err := f.Store.File(ctx, access.Of(ctx).Tenant, in.ID, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &fileOutput{view(&file)}, nil
}

func (f *face) delete(ctx context.Context, in *idInput) (*deletedOutput, error) {
	file, err := f.Store.DeleteFile(ctx, access.Of(ctx).Tenant, in.ID, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &deletedOutput{FileDeleted{ID: file.ID, Object: "file", Deleted: true}}, nil
}

func view(f *completion.File) File {
	v := File{
		ID: f.ID, Object: "file", Bytes: f.Bytes, CreatedAt: f.CreatedAt.Unix(), Filename: f.Name, Purpose: f.Purpose, Status: "processed",
	}
	if !f.ExpiresAt.IsZero() {
		v.ExpiresAt = optional.Of(f.ExpiresAt.Unix())
	}
	return v
}

func (f *face) answer(ctx context.Context, err error) error {
	return problem.Answer(ctx, f.Logger, err)
}
