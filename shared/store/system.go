package store

import (
	"context"
	"time"

	"sluice/shared/completion"
)

const (
	// workersSince is how long a worker is listed that is dead and has not said that it leaves.
	workersSince = time.Hour
	maxWorkers   = 500
)

// workerRow is a worker in the table.
type workerRow struct {
	ID     string    `bun:"id"`
	SeenAt time.Time `bun:"seen_at"`
	Status []byte    `bun:"status"`
}

// Workers lists the workers that were heard of within the last hour, the latest first, at most 500. A status that cannot
// be read is left out.
func (s *Store) Workers(ctx context.Context, at time.Time) ([]completion.Worker, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []workerRow
	err := s.db.NewSelect().TableExpr("worker").Column("id", "seen_at", "status").Where("seen_at > ?", stamp(at.Add(-workersSince))).
		OrderExpr("seen_at DESC, id ASC").Limit(maxWorkers).Scan(ctx, &rows)
	if err != nil {
		return nil, wrap(err, "list workers")
	}
	list := make([]completion.Worker, 0, len(rows))
	for _, r := range rows {
		w := completion.Worker{ID: r.ID, SeenAt: stamp(r.SeenAt), Alive: r.SeenAt.After(stamp(at.Add(-s.opts.WorkerTTL)))}
		if err := decode(r.Status, &w.Status); err != nil {
			w.Status = nil
		}
		list = append(list, w)
	}
	return list, nil
}

// Failure is a job that has failed or expired, and the one that tries it again.
type Failure struct {
	completion.Job
	Retry string // that job's id; empty: there is none
}

// failureRow is a Failure in the table.
type failureRow struct {
	jobRow `bun:",extend"`

	Retry string `bun:"retry,scanonly,nullzero"`
}

// Failures lists the jobs of all tenants that have failed or expired, the latest first, at most 100, without their
// requests and results. Lines of batches are not among them.
func (s *Store) Failures(ctx context.Context, limit int) ([]Failure, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []failureRow
	again := s.db.NewSelect().TableExpr("job AS r").Column("r.id").Where("r.tenant = job.tenant").Where("r.retry_of = job.id")
	err := s.db.NewSelect().Model(&rows).ExcludeColumn(heavy...).ColumnExpr("(?) AS retry", again).
		Where("state IN ('failed', 'expired')").Where("batch IS NULL").
		OrderExpr("finished_at DESC, id DESC").Limit(int64(most(limit, defaultPage, maxPage))).Scan(ctx)
	if err != nil {
		return nil, wrap(err, "list failures")
	}
	list := make([]Failure, 0, len(rows))
	for i := range rows {
		job, err := rows[i].job()
		if err != nil {
			return nil, wrap(err, "list failures")
		}
		list = append(list, Failure{Job: job, Retry: rows[i].Retry})
	}
	return list, nil
}
