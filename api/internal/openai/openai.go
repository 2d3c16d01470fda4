// Package openai is the face of the API that the official OpenAI SDKs know: chat completions, with those that were stored,
// text completions and embeddings.
//
// Each request is a job like any other, whose client waits for it. It promises answers and streams of the wire format
// that the SDKs expect, one id, created and model throughout, and no text twice: if a worker dies after text was sent, the
// stream goes on only where the next attempt says the same. It leaves accepting and waiting to package attend, and everything
// that a parameter means to the upstream.
package openai

import (
	"context"
	"log/slog"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/attend"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is what this face needs of the store.
type Store interface {
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	ListStored(ctx context.Context, tenant string, q store.StoredQuery) (jobs []completion.Job, more bool, err error)
	SetMetadata(ctx context.Context, ref completion.Ref, metadata map[string]string) (completion.Job, error)
	Unstore(ctx context.Context, ref completion.Ref) error
}

// Parts are what a Face is made of.
type Parts struct {
	Desk   *attend.Desk
	Store  Store
	Log    completion.Log
	Logger *slog.Logger
}

// Face serves the routes.
type Face struct{ Parts }

// Register adds the routes to api.
func Register(api huma.API, p Parts) {
	f := &Face{Parts: p}
	f.registerCreate(api)
	f.registerStored(api)
}

var tags = []string{"OpenAI"}

// answer is how this face returns errors; a nil err is nil.
func (f *Face) answer(ctx context.Context, err error) error {
	return problem.Answer(ctx, f.Logger, err)
}
