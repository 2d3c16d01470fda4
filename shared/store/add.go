package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Add stores a new job. However many add at once with one idempotency key, one job is made: with a key that the tenant
// has used before, Add returns that job and false, or completion.ErrConflict if its body was another one (I7). In the
// same way a job is tried again (RetryOf) by one other job only. Times come back in whole microseconds, which is what
// the databases keep.
//
// A job that is made counts against its Quota, as of CreatedAt. completion.CodeDayQuota, completion.CodeAllQuota: it would
// be one too many, and was not made.
func (s *Store) Add(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if len(job.Quota.Accounts(job.CreatedAt)) == 0 {
		return add(ctx, s.db, job)
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		stored, created, err = add(ctx, tx, job)
		return err
	})
	if err != nil {
		return completion.Job{}, false, away(err)
	}
	return stored, created, nil
}

// add is Add within db, a transaction if the job has a Quota, which an error must undo.
func add(ctx context.Context, db bun.IDB, job *completion.Job) (stored completion.Job, created bool, err error) {
	row, err := newRow(job)
	if err != nil {
		return completion.Job{}, false, fmt.Errorf("add job %s: %w", job.ID, err)
	}
	insert := db.NewInsert().Model(row)
	switch {
	case job.IdempotencyKey != "" && job.RetryOf != "":
		return completion.Job{}, false, fmt.Errorf("add job %s: it has both a key and a job to try again", job.ID)
	case job.IdempotencyKey != "":
		insert = keyed(insert)
	case job.RetryOf != "":
		insert = insert.On("CONFLICT (tenant, retry_of) WHERE retry_of IS NOT NULL DO NOTHING")
	}
	result, err := insert.Exec(ctx)
	if err != nil {
		return completion.Job{}, false, wrap(underway(err), "add job %s", job.ID)
	}
	n, err := result.RowsAffected()
	switch {
	case err != nil:
		return completion.Job{}, false, fmt.Errorf("add job %s: %w", job.ID, err)
	case n == 0:
		stored, err = same(ctx, db, job)
		return stored, false, err
	}
	if err := charge(ctx, db, job.Tenant, job.Quota, 1, job.CreatedAt); err != nil {
		return completion.Job{}, false, wrap(err, "add job %s", job.ID)
	}
	stored, err = row.job()
	return stored, true, err
}

// keyed lets jobs be whose key the tenant has used before.
func keyed(insert *bun.InsertQuery) *bun.InsertQuery {
	return insert.On("CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING")
}

// Same finds the job that is there already when Add would not make one. completion.ErrNotFound: Add would.
// completion.ErrConflict: as there.
func (s *Store) Same(ctx context.Context, job *completion.Job) (completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return same(ctx, s.db, job)
}

func same(ctx context.Context, db bun.IDB, job *completion.Job) (completion.Job, error) {
	if job.RetryOf == "" && job.IdempotencyKey == "" {
		return completion.Job{}, completion.ErrNotFound
	}
	row := jobRow{}
	query := db.NewSelect().Model(&row).Where("tenant = ?", text(job.Tenant))
	if job.RetryOf != "" {
		query = query.Where("retry_of = ?", text(job.RetryOf))
	} else {
		query = query.Where("idempotency_key = ?", text(job.IdempotencyKey))
	}
	if err := query.Scan(ctx); err != nil {
		return completion.Job{}, fmt.Errorf("read the job that job %s would repeat: %w", job.ID, missing(err))
	}
	if row.BodyHash != job.BodyHash {
		return completion.Job{}, fmt.Errorf("key %q of job %s: %w", job.IdempotencyKey, row.ID, completion.ErrConflict)
	}
	return row.job()
}
