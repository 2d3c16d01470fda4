package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Beat says that worker is alive, and what it says of itself, which may be nil. A worker that beats less often than
// Options.WorkerTTL loses its jobs to others. A status above completion.MaxWorkerStatus is not kept: that the worker lives
// matters more.
func (s *Store) Beat(ctx context.Context, worker string, status *completion.WorkerStatus, at time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	said, err := encode(status, status == nil)
	if err != nil {
		return wrap(err, "beat of worker %s", worker)
	}
	if len(said) > completion.MaxWorkerStatus {
		said = nil
	}
	_, err = s.db.NewRaw("INSERT INTO worker (id, seen_at, status) VALUES (?, ?, ?) "+
		"ON CONFLICT (id) DO UPDATE SET seen_at = EXCLUDED.seen_at, status = EXCLUDED.status",
		text(worker), stamp(at), nullBytes(said)).Exec(ctx)
	return wrap(err, "beat of worker %s", worker)
}

// Leave says that worker is gone: the jobs it still runs may be claimed at once.
func (s *Store) Leave(ctx context.Context, worker string) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewRaw("DELETE FROM worker WHERE id = ?", text(worker)).Exec(ctx)
	return wrap(err, "leave of worker %s", worker)
}

// Alone says that no worker is alive, for a process that knows it is the only one: all running jobs may be claimed.
func (s *Store) Alone(ctx context.Context) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewRaw("DELETE FROM worker").Exec(ctx)
	return wrap(err, "forget all workers")
}

// CancelRequests names the jobs that run for worker and whose cancel was requested.
func (s *Store) CancelRequests(ctx context.Context, worker string) ([]completion.Ref, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []jobRow
	err := s.db.NewSelect().Model(&rows).Column("id", "tenant").
		Where("worker = ?", text(worker)).Where("state = ?", completion.Running).Where("cancel_requested").Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read cancels for worker %s", worker)
	}
	var refs []completion.Ref
	for _, r := range rows {
		refs = append(refs, completion.Ref{Tenant: r.Tenant, Job: r.ID})
	}
	return refs, nil
}

// seen selects workers that are alive.
func (s *Store) seen(at time.Time) *bun.SelectQuery {
	return s.db.NewSelect().TableExpr("worker AS w").ColumnExpr("1").Where("w.seen_at > ?", stamp(at.Add(-s.opts.WorkerTTL)))
}

// alive selects the worker of a job row if it is alive.
func (s *Store) alive(at time.Time) *bun.SelectQuery {
	return s.seen(at).Where("w.id = job.worker")
}

// Orphans returns jobs that the queue may not know: queued since before, due by now, and not held. They come without requests and
// results, ordered by id, from the one after the given id on.
func (s *Store) Orphans(ctx context.Context, before, now time.Time, after string, limit int) ([]completion.Job, error) {
	return s.unfinished(ctx, completion.Queued, after, limit, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("updated_at < ?", stamp(before)).Where("NOT held").Where("(retry_at IS NULL OR retry_at < ?)", stamp(now))
	})
}

// Abandoned returns jobs that run for a worker which is dead. They come like those of Orphans.
func (s *Store) Abandoned(ctx context.Context, now time.Time, after string, limit int) ([]completion.Job, error) {
	return s.unfinished(ctx, completion.Running, after, limit, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("NOT EXISTS (?)", s.alive(now))
	})
}

func (s *Store) unfinished(ctx context.Context, state completion.State, after string, limit int, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []jobRow
	query := s.db.NewSelect().Model(&rows).ExcludeColumn(heavy...).Where("state = ?", state).Where("id > ?", text(after))
	err := narrow(query).OrderExpr("id ASC").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, wrap(err, "find %s jobs to look after", state)
	}
	list, err := jobs(rows)
	return list, wrap(err, "find %s jobs to look after", state)
}
