package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Claim starts the job's next attempt for worker: the job must be queued, or running for a worker that is dead or is
// this one (which knows that it does not run it any more). Exactly one of any number of claims gets each attempt. A queued
// job whose deadline has passed expires instead.
//
// completion.ErrFinal: nothing is left to do; the job is returned with it. completion.ErrHeld: a live worker runs it, or it
// waits for the turn before it.
func (s *Store) Claim(ctx context.Context, ref completion.Ref, worker string, at time.Time) (completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	worker = text(worker)
	row := jobRow{}
	err := s.update(ref, completion.Running).
		Set("state = ?", completion.Running).Set("attempt = attempt + 1").Set("worker = ?", worker).
		Set("started_at = COALESCE(started_at, ?)", stamp(at)).Set("updated_at = ?", stamp(at)).
		Set("retry_at = NULL").Set("first_token_at = NULL").
		Where("(state = ? OR worker = ? OR NOT EXISTS (?))", completion.Queued, worker, s.alive(at)).Where("NOT held").
		Where("(state <> ? OR deadline IS NULL OR deadline > ?)", completion.Queued, stamp(at)).
		Returning("*").Scan(ctx, &row)
	if err == nil {
		return row.job()
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return completion.Job{}, fmt.Errorf("claim job %s: %w", ref.Job, away(err))
	}
	job, err := s.Get(ctx, ref)
	if err == nil && job.State == completion.Queued && job.Overdue(at) {
		job, err = s.expireOne(ctx, ref, at)
	}
	switch {
	case err != nil:
		return completion.Job{}, fmt.Errorf("claim job %s: %w", ref.Job, err)
	case job.State.Final():
		return job, fmt.Errorf("claim job %s: %w", ref.Job, completion.ErrFinal)
	default:
		return job, fmt.Errorf("claim job %s: %w", ref.Job, completion.ErrHeld)
	}
}

// update begins the statement that brings the job to a state, from those that lead there.
func (s *Store) update(ref completion.Ref, to completion.State) *bun.UpdateQuery {
	return s.db.NewUpdate().Model((*jobRow)(nil)).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).
		Where("state IN (?)", bun.List(completion.Sources(to)))
}

// attempt begins the statement with which a running attempt ends. What it has so far is kept in any case.
func (s *Store) attempt(ref completion.Ref, attempt int, to completion.State, o completion.Outcome) (*bun.UpdateQuery, error) {
	failure, err := encode(o.Error, o.Error == nil)
	if err != nil {
		return nil, err
	}
	return s.update(ref, to).Where("state = ?", completion.Running).Where("attempt = ?", attempt).
		Set("state = ?", to).Set("upstream = ?", nullText(o.Upstream)).Set("result = ?", nullBytes(o.Result)).
		Set("usage = ?", nullBytes(o.Usage)).Set("finish_reason = ?", nullText(o.FinishReason)).Set("error = ?", nullBytes(failure)).
		Set("first_token_at = ?", nullTime(o.FirstTokenAt)).Set("unsaid = ?", o.Unsaid).Set("updated_at = ?", stamp(o.At)), nil
}

// Retry ends an attempt that another will follow: the job is queued again.
//
// completion.ErrStale: a later attempt has the job. completion.ErrFinal: it has ended. completion.ErrCancelled: a
// cancel was requested, so the attempt must finish as cancelled instead. Nothing was written in any of these cases. A
// repeat after an answer that was lost succeeds.
func (s *Store) Retry(ctx context.Context, ref completion.Ref, attempt int, r completion.Retry) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	query, err := s.attempt(ref, attempt, completion.Queued, r.Outcome)
	if err == nil {
		count := "returned = returned + 1"
		if r.Counted {
			count = "tries = tries + 1"
		}
		query = query.Set(count)
		err = affected(query.Set("retry_at = ?", nullTime(r.RetryAt)).Where("NOT cancel_requested").Exec(ctx))
	}
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return wrap(err, "queue job %s again", ref.Job)
	}
	job, err := s.Get(ctx, ref)
	switch {
	case err != nil:
	case job.Attempt != attempt:
		err = completion.ErrStale
	case job.State.Final():
		err = completion.ErrFinal
	case job.State == completion.Running:
		err = completion.ErrCancelled
	}
	return wrap(err, "queue job %s again", ref.Job)
}

// Finish ends an attempt and with it the job, which it returns as stored.
//
// completion.ErrStale: a later attempt has the job, or will have it. completion.ErrFinal: it has ended in another way, and
// comes with the error. Nothing was written in either case. A repeat, for instance after an answer that was lost,
// returns the job as the first one stored it (I2).
func (s *Store) Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if err := ends(ref, o); err != nil {
		return completion.Job{}, err
	}
	row := jobRow{}
	query, err := s.attempt(ref, attempt, o.State, o)
	if err == nil {
		err = query.Set("finished_at = ?", stamp(o.At)).Returning("*").Scan(ctx, &row)
	}
	if err == nil {
		return row.job()
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return completion.Job{}, wrap(err, "finish job %s", ref.Job)
	}
	job, err := s.Get(ctx, ref)
	switch {
	case err != nil:
	case job.Attempt != attempt, !job.State.Final():
		err = completion.ErrStale
	case job.State == o.State:
		return job, nil
	default:
		err = completion.ErrFinal
	}
	return job, wrap(err, "finish job %s", ref.Job)
}

// ends reports an outcome that is no end.
func ends(ref completion.Ref, o completion.Outcome) error {
	if !o.State.Final() {
		return fmt.Errorf("finish job %s: %q is not a final state", ref.Job, o.State)
	}
	return nil
}

// affected turns an update that found no row into sql.ErrNoRows.
func affected(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = sql.ErrNoRows
	}
	return err
}

// wrap adds the act to an error, and nil to nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, away(err))...)
}
