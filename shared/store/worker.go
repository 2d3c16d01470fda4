package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Beat says that worker is alive. A worker that beats less often than Options.WorkerTTL loses its jobs to others.
func (s *Store) Beat(ctx context.Context, worker string, at time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewRaw("INSERT INTO worker (id, seen_at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seen_at = EXCLUDED.seen_at",
		text(worker), stamp(at)).Exec(ctx)
	return wrap(err, "beat of worker %s", worker)
}

// Leave says that worker is gone: the jobs it still runs may be claimed at once. It also forgets workers that have been
// dead for a day.
func (s *Store) Leave(ctx context.Context, worker string, at time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewRaw("DELETE FROM worker WHERE id = ? OR seen_at < ?", text(worker), stamp(at.AddDate(0, 0, -1))).Exec(ctx)
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

// Orphans returns unfinished jobs that the queue may not know: queued since before and due by now, or running for a
// worker that is dead. They come without requests and results, ordered by id, from the one after the given id on.
func (s *Store) Orphans(ctx context.Context, before, now time.Time, after string, limit int) ([]completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []jobRow
	err := s.db.NewSelect().Model(&rows).ExcludeColumn(heavy...).
		Where("state IN (?)", bun.List([]completion.State{completion.Queued, completion.Running})).Where("id > ?", text(after)).
		WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("state = ? AND updated_at < ? AND (retry_at IS NULL OR retry_at < ?)", completion.Queued, stamp(before), stamp(now)).
				WhereOr("state = ? AND NOT EXISTS (?)", completion.Running, s.alive(now))
		}).
		OrderExpr("id ASC").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, wrap(err, "find orphans")
	}
	list, err := jobs(rows)
	return list, wrap(err, "find orphans")
}
