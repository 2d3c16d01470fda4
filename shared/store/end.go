package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Cancel ends a queued job as cancelled and asks for the end of one that runs; a job in a final state is returned as it
// is. What a queued job has so far is kept (I9). held tells whether a live worker runs the job, and has to be told; if
// not, a running job's end is the caller's to store, with Finish.
func (s *Store) Cancel(ctx context.Context, ref completion.Ref, at time.Time) (job completion.Job, held bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := jobRow{}
	query, err := cancelled(s.update(ref, completion.Cancelled), at)
	if err != nil {
		return completion.Job{}, false, wrap(err, "cancel job %s", ref.Job)
	}
	err = query.Returning("*").Scan(ctx, &row)
	switch {
	case err == nil:
		job, err = row.job()
	case errors.Is(err, sql.ErrNoRows):
		job, err = s.Get(ctx, ref)
	}
	if err == nil && job.State == completion.Running {
		held, err = s.seen(at).Where("w.id = ?", text(job.Worker)).Exists(ctx)
	}
	return job, held, wrap(err, "cancel job %s", ref.Job)
}

// cancelled adds to a statement what a cancel writes into jobs that have not ended.
func cancelled(query *bun.UpdateQuery, at time.Time) (*bun.UpdateQuery, error) {
	failure, err := encode(completion.NewError(completion.CodeCancelled, ""), false)
	if err != nil {
		return nil, err
	}
	return query.Set("cancel_requested = ?", true).Set("updated_at = ?", stamp(at)).
		Set("state = CASE WHEN state = ? THEN ? ELSE state END", completion.Queued, completion.Cancelled).
		Set("error = CASE WHEN state = ? THEN ? ELSE error END", completion.Queued, failure).
		Set("finished_at = CASE WHEN state = ? THEN ? ELSE finished_at END", completion.Queued, stamp(at)), nil
}

// Expire ends up to limit queued jobs, held or not, whose deadline has passed, and returns them. Lines of batches are left to EndLines.
func (s *Store) Expire(ctx context.Context, at time.Time, limit int) ([]completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	// Those that are locked are about to be claimed or cancelled, perhaps with others that this statement would hold.
	overdue := s.lock(s.db.NewSelect().TableExpr("job AS late").Column("late.id").
		Where("late.state = ?", completion.Queued).Where("late.batch IS NULL").Where("late.deadline <= ?", stamp(at)).
		OrderExpr("late.deadline").Limit(int64(limit)), "UPDATE SKIP LOCKED")
	var rows []jobRow
	query, err := s.expire(at)
	if err == nil {
		err = query.Where("id IN (?)", overdue).Returning("*").Scan(ctx, &rows)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, wrap(err, "expire jobs")
	}
	list, err := jobs(rows)
	return list, wrap(err, "expire jobs")
}

func (s *Store) expireOne(ctx context.Context, ref completion.Ref, at time.Time) (completion.Job, error) {
	query, err := s.expire(at)
	if err == nil {
		_, err = query.Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).Exec(ctx)
	}
	if err != nil {
		return completion.Job{}, err
	}
	return s.Get(ctx, ref)
}

// expire begins the statement that ends overdue queued jobs.
func (s *Store) expire(at time.Time) (*bun.UpdateQuery, error) {
	failure, err := encode(completion.NewError(completion.CodeExpired, ""), false)
	if err != nil {
		return nil, err
	}
	return s.db.NewUpdate().Model((*jobRow)(nil)).
		Set("state = ?", completion.Expired).Set("error = ?", failure).Set("finished_at = ?", stamp(at)).Set("updated_at = ?", stamp(at)).
		Where("state = ?", completion.Queued).Where("deadline <= ?", stamp(at)), nil
}
