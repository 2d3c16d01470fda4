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

// AddBatch stores a new batch. As with Add, one idempotency key makes one batch, and a batch is tried again (RetryOf) by one
// other: if that is there already it is returned, with false, whatever has become of its input. completion.ErrConflict: the
// key was used with another body. completion.ErrNotFound: the tenant has no such input file of completion.PurposeBatch; from
// now on DeleteFile refuses to take it away.
func (s *Store) AddBatch(ctx context.Context, b completion.Batch) (stored completion.Batch, created bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if b.IdempotencyKey != "" && b.RetryOf != "" {
		return completion.Batch{}, false, fmt.Errorf("add batch %s: it has both a key and a batch to try again", b.ID)
	}
	row, err := newBatchRow(&b)
	if err == nil {
		err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			created, err = s.addBatch(ctx, tx, row)
			return err
		})
	}
	if err != nil {
		return completion.Batch{}, false, wrap(err, "add batch %s", b.ID)
	}
	stored, err = row.batch()
	return stored, created, err
}

// addBatch inserts the row, or reads into it the one that is there.
func (s *Store) addBatch(ctx context.Context, tx bun.Tx, row *batchRow) (created bool, err error) {
	insert, same := tx.NewInsert().Model(row), tx.NewSelect().Where("tenant = ?", row.Tenant)
	switch {
	case row.IdempotencyKey != "":
		insert = insert.On("CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING")
		same = same.Where("idempotency_key = ?", row.IdempotencyKey)
	case row.RetryOf != "":
		insert = insert.On("CONFLICT (tenant, retry_of) WHERE retry_of IS NOT NULL DO NOTHING")
		same = same.Where("retry_of = ?", row.RetryOf)
	}
	err = affected(insert.Exec(ctx))
	if errors.Is(err, sql.ErrNoRows) {
		hash := row.BodyHash
		*row = batchRow{}
		if err := same.Model(row).Scan(ctx); err != nil {
			return false, missing(err)
		}
		if row.IdempotencyKey != "" && row.BodyHash != hash {
			return false, fmt.Errorf("key %q of batch %s: %w", row.IdempotencyKey, row.ID, completion.ErrConflict)
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	input := shown(tx.NewSelect().Model((*fileRow)(nil)).Column("id").Where("id = ?", row.Input), row.Tenant, row.CreatedAt).
		Where("purpose = ?", completion.PurposeBatch)
	var id string
	if err := s.lock(input, "SHARE").Scan(ctx, &id); err != nil { // so that nobody deletes it meanwhile
		return false, fmt.Errorf("input file %s: %w", row.Input, missing(err))
	}
	return true, nil
}

// Batch reads one batch. completion.ErrNotFound: there is none, or it is another tenant's (I8).
func (s *Store) Batch(ctx context.Context, ref completion.Ref) (completion.Batch, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return readBatch(ctx, s.db, ref)
}

func readBatch(ctx context.Context, db bun.IDB, ref completion.Ref) (completion.Batch, error) {
	row := batchRow{}
	err := db.NewSelect().Model(&row).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).Scan(ctx)
	if err != nil {
		return completion.Batch{}, fmt.Errorf("read batch %s: %w", ref.Job, missing(err))
	}
	return row.batch()
}

// BatchQuery pages a list of batches. The zero value is the newest 20.
type BatchQuery struct {
	Limit int    // default 20, at most 100
	After string // the id of the batch after which the page begins
}

// ListBatches returns one page of the tenant's batches, the newest first, and whether more follow. They come without their
// errors and without Checkpoint.Told.
func (s *Store) ListBatches(ctx context.Context, tenant string, q BatchQuery) (page []completion.Batch, more bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []batchRow
	query := s.db.NewSelect().Model(&rows).ExcludeColumn("errors", "told").Where("tenant = ?", text(tenant))
	if more, err = scanPage(ctx, query, &rows, span{most(q.Limit, defaultPage, maxPage), q.After, true}); err != nil {
		return nil, false, wrap(err, "list batches")
	}
	page, err = batches(rows)
	return page, more, wrap(err, "list batches")
}

// CancelBatch asks for the end of a batch; whoever holds it brings that about. A batch that cannot be cancelled any more,
// or is being, is returned as it is. completion.ErrNotFound: as Batch.
func (s *Store) CancelBatch(ctx context.Context, ref completion.Ref, at time.Time) (completion.Batch, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	b, err := scanBatch(ctx, s.changeBatch(ref, completion.BatchSources(completion.BatchCancelling), at).
		Set("state = ?", completion.BatchCancelling).Set("cancelling_at = ?", stamp(at)).Set("paused = ?", false))
	if errors.Is(err, sql.ErrNoRows) {
		b, err = s.Batch(ctx, ref)
	}
	return b, wrap(err, "cancel batch %s", ref.Job)
}

// PauseBatch pauses a batch, or lets it go on. completion.CodeBatchOver: it is neither validating nor in progress.
// completion.ErrNotFound: as Batch.
func (s *Store) PauseBatch(ctx context.Context, ref completion.Ref, paused bool, at time.Time) (completion.Batch, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	open := []completion.BatchState{completion.BatchValidating, completion.BatchInProgress}
	b, err := scanBatch(ctx, s.changeBatch(ref, open, at).Set("paused = ?", paused))
	if errors.Is(err, sql.ErrNoRows) {
		if b, err = s.Batch(ctx, ref); err == nil {
			err = completion.NewError(completion.CodeBatchOver, "")
		}
	}
	return b, wrap(err, "pause batch %s", ref.Job)
}

// changeBatch begins the statement that changes a batch in one of the states.
func (s *Store) changeBatch(ref completion.Ref, from []completion.BatchState, at time.Time) *bun.UpdateQuery {
	return s.db.NewUpdate().Model((*batchRow)(nil)).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).
		Where("state IN (?)", bun.List(from)).Set("updated_at = ?", stamp(at))
}

// scanBatch runs a statement that changes one batch, and returns it; sql.ErrNoRows: it changed none.
func scanBatch(ctx context.Context, query *bun.UpdateQuery) (completion.Batch, error) {
	row := batchRow{}
	if err := query.Returning("*").Scan(ctx, &row); err != nil {
		return completion.Batch{}, err
	}
	return row.batch()
}
