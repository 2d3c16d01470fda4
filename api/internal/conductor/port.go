package conductor

import (
	"context"
	"io"
	"iter"
	"time"

	"sluice/api/internal/blob"
	"sluice/shared/completion"
)

// Store is what a Conductor needs of store.Store, where each method is described.
type Store interface {
	leases
	batches
	lines
	files
}

type leases interface {
	TakeBatches(ctx context.Context, holder string, ttl time.Duration, limit int, at time.Time) ([]completion.Batch, error)
	HoldBatches(ctx context.Context, holder string, ttl time.Duration, at time.Time) ([]completion.Batch, error)
	LeaveBatches(ctx context.Context, holder string) error
	BatchShares(ctx context.Context, at time.Time) ([]completion.Batch, error)
}

type batches interface {
	Batch(ctx context.Context, ref completion.Ref) (completion.Batch, error)
	SaveBatch(ctx context.Context, b *completion.Batch) error
	MoveBatch(ctx context.Context, b *completion.Batch, to completion.BatchState, at time.Time) error
	FeedBatch(ctx context.Context, b *completion.Batch, jobs []completion.Job) error
}

type lines interface {
	Lines(ctx context.Context, ref completion.Ref, lines []int) ([]completion.Job, error)
	LinesFrom(ctx context.Context, ref completion.Ref, after, upto, limit int) ([]completion.Job, error)
	OpenLines(ctx context.Context, ref completion.Ref, after, limit int) ([]completion.Job, error)
	CountLines(ctx context.Context, ref completion.Ref) (map[completion.State]int, error)
	EndLines(ctx context.Context, ref completion.Ref, to completion.State, at time.Time) (ended int, err error)
}

type files interface {
	AddFile(ctx context.Context, f completion.File) error
	ReadyFile(ctx context.Context, tenant, id string, bytes int64) (completion.File, error)
}

// Queue takes the jobs of lines; see queue.Client.
type Queue interface {
	EnqueueAll(ctx context.Context, tasks []completion.Task) []error
}

// Events is the event log; see eventlog.Log.
type Events interface {
	Read(ctx context.Context, ref completion.Ref) iter.Seq2[completion.Record, error]
	Resume(ctx context.Context, ref completion.Ref, seq int64) (completion.Tail, error)
}

// Bell is rung; see bell.Bell.
type Bell interface {
	OnBatch(f func(ref completion.Ref, lines []int)) (stop func(), err error)
	Cancel(ref completion.Ref)
}

// Limits knows what tenants may do; see limit.Book.
type Limits interface {
	Of(tenant string) completion.Limits
}

// Files has the content of files; see blob.Store.
type Files interface {
	Put(ctx context.Context, name string, r io.Reader) (bytes int64, err error)
	Open(ctx context.Context, name string) (blob.Blob, error)
}
