// Package system is the face for who looks after the whole installation, under /v1/system: queues, workers, upstreams,
// rates, and what has failed of late, which it has tried again.
//
// It needs the scope system, because it shows the load of all tenants (I8); of their jobs it shows neither what was asked nor
// what was answered. It is made to be asked every other second: it reads the workers' heartbeats and some counters in
// Redis, and of the jobs only the index of those that failed.
package system

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/intake"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/store"
)

// Store is what this face needs of the store.
type Store interface {
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	Workers(ctx context.Context, at time.Time) ([]completion.Worker, error)
	Failures(ctx context.Context, limit int) ([]store.Failure, error)
}

// Queues is what this face needs of the queue.
type Queues interface {
	Depth(ctx context.Context, lane completion.Lane) (queue.Depth, error)
	Oldest(ctx context.Context, lane completion.Lane) (time.Time, error)
	Accepted(ctx context.Context, lane completion.Lane, at time.Time, within ...time.Duration) ([]int64, error)
}

// Limits hold tenants to what they may do.
type Limits interface {
	Submit(ctx context.Context, tenant string) error
}

// Parts are what the face is made of.
type Parts struct {
	Intake  *intake.Intake
	Store   Store
	Queue   Queues
	Limits  Limits
	Version string
	Logger  *slog.Logger
}

// face serves the routes.
type face struct{ Parts }

var tags = []string{"System"}

// Register adds the routes to api.
func Register(api huma.API, p Parts) {
	f := &face{Parts: p}
	needs := access.Needs(completion.ScopeSystem)
	huma.Register(api, huma.Operation{
		OperationID: "get-system", Method: http.MethodGet, Path: "/v1/system", Tags: tags, Errors: []int{401, 403, 503}, Security: needs,
		Summary: "See the installation", Description: "Queues, workers, upstreams and rates, of all tenants together. Rates are what the " +
			"workers that are alive have seen. Made to be asked every other second.",
	}, f.get)
	huma.Register(api, huma.Operation{
		OperationID: "list-failures", Method: http.MethodGet, Path: "/v1/system/failures", Tags: tags, Errors: []int{400, 401, 403, 503}, Security: needs,
		Summary: "List failures", Description: "The jobs of all tenants that failed or expired, the latest first, without what they were " +
			"asked or answered. Lines of batches are not among them: their batch has them.",
	}, f.list)
	huma.Register(api, huma.Operation{
		OperationID: "retry-failure", Method: http.MethodPost, Path: "/v1/system/failures/{tenant}/{id}/retry", Tags: tags,
		Errors: []int{401, 402, 403, 404, 409, 429, 503}, Security: needs, DefaultStatus: http.StatusAccepted,
		Summary: "Try a failure again", Description: "As its tenant could, within the tenant's limits: makes a new job of it, once. 409 for a " +
			"job that did not fail or expire, is a line of a batch, or a turn of a conversation.",
	}, f.retry)
}

type overviewOutput struct{ Body Overview }

func (f *face) get(ctx context.Context, _ *struct{}) (*overviewOutput, error) {
	at := time.Now()
	workers, err := f.Store.Workers(ctx, at)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	o := overview(at, workers, f.redis(ctx, at))
	o.Version = f.Version
	return &overviewOutput{Body: o}, nil
}

// redisLimit is how long Redis is waited for: the rest is worth seeing just when it is away.
const redisLimit = time.Second

// redis is what Redis knows; nil while it is away.
func (f *face) redis(ctx context.Context, at time.Time) map[completion.Lane]waiting {
	ctx, cancel := context.WithTimeout(ctx, redisLimit)
	defer cancel()
	lanes := map[completion.Lane]waiting{}
	for _, lane := range completion.Lanes {
		w, err := f.waiting(ctx, lane, at)
		if err != nil {
			f.Logger.Warn("queues not shown", "request_id", completion.RequestID(ctx), "error", err)
			return nil
		}
		lanes[lane] = w
	}
	return lanes
}

func (f *face) waiting(ctx context.Context, lane completion.Lane, at time.Time) (w waiting, err error) {
	if w.depth, err = f.Queue.Depth(ctx, lane); err != nil {
		return w, err
	}
	if w.oldest, err = f.Queue.Oldest(ctx, lane); err != nil {
		return w, err
	}
	accepted, err := f.Queue.Accepted(ctx, lane, at, minute, quarter)
	copy(w.accepted[:], accepted)
	return w, err
}

func (f *face) answer(ctx context.Context, err error) error {
	return problem.Answer(ctx, f.Logger, err)
}
