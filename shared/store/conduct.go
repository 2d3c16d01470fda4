package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// TakeBatches returns up to limit live batches that nobody holds, the oldest first, and holds them for holder, a name that
// no other process has, until at+ttl. Their Epoch is a new one, so that what an earlier holder still writes is refused.
// Any number of processes may call it at once: each batch goes to one.
func (s *Store) TakeBatches(ctx context.Context, holder string, ttl time.Duration, limit int, at time.Time) ([]completion.Batch, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	free := s.lock(s.db.NewSelect().TableExpr("batch AS free").Column("free.id").
		Where("free.state IN (?)", bun.List(completion.LiveBatches)).
		Where("(free.held_until IS NULL OR free.held_until <= ?)", stamp(at)).OrderExpr("free.id").Limit(int64(limit)), "UPDATE SKIP LOCKED")
	var rows []batchRow
	_, err := s.db.NewUpdate().Model(&rows).Set("holder = ?", text(holder)).Set("held_until = ?", stamp(at.Add(ttl))).
		Set("epoch = epoch + 1").Where("id IN (?)", free).Returning("*").Exec(ctx)
	if err != nil {
		return nil, wrap(err, "take batches")
	}
	slices.SortFunc(rows, func(a, b batchRow) int { return cmp.Compare(a.ID, b.ID) })
	list, err := batches(rows)
	return list, wrap(err, "take batches")
}

// HoldBatches holds all batches of holder until at+ttl, and returns those that it still has, with no more than whose they
// are, where they stand, and how many of their lines were fed.
func (s *Store) HoldBatches(ctx context.Context, holder string, ttl time.Duration, at time.Time) ([]completion.Batch, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []batchRow
	_, err := s.held(holder).Model(&rows).Set("held_until = ?", stamp(at.Add(ttl))).
		Returning("?", bun.List(idents(lightBatch))).Exec(ctx)
	if err != nil {
		return nil, wrap(err, "hold batches")
	}
	list, err := batches(rows)
	return list, wrap(err, "hold batches")
}

// LeaveBatches lets go of all batches of holder, so that others may take them at once.
func (s *Store) LeaveBatches(ctx context.Context, holder string) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.held(holder).Model((*batchRow)(nil)).Set("holder = ''").Set("held_until = NULL").Exec(ctx)
	return wrap(err, "leave batches")
}

func (s *Store) held(holder string) *bun.UpdateQuery {
	return s.db.NewUpdate().Where("state IN (?)", bun.List(completion.LiveBatches)).Where("holder = ?", text(holder))
}

func idents(columns []string) []bun.Ident {
	list := make([]bun.Ident, len(columns))
	for i, c := range columns {
		list[i] = bun.Ident(c)
	}
	return list
}

// BatchShares returns the batches of all tenants that want their lines run at that time: in progress, not paused, and not
// overdue. They come like those of HoldBatches.
func (s *Store) BatchShares(ctx context.Context, at time.Time) ([]completion.Batch, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []batchRow
	err := s.db.NewSelect().Model(&rows).Column(lightBatch...).Where("state = ?", completion.BatchInProgress).
		Where("NOT paused").Where("deadline > ?", stamp(at)).OrderExpr("id").Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read batches in progress")
	}
	list, err := batches(rows)
	return list, wrap(err, "read batches in progress")
}

// LiveBatches returns the batches of all tenants that have not ended. They come like those of HoldBatches.
func (s *Store) LiveBatches(ctx context.Context) ([]completion.Batch, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []batchRow
	err := s.db.NewSelect().Model(&rows).Column(lightBatch...).Where("state IN (?)", bun.List(completion.LiveBatches)).OrderExpr("id").Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read live batches")
	}
	list, err := batches(rows)
	return list, wrap(err, "read live batches")
}

// SaveBatch stores how far the holder of b has come: its model, counts, usage, errors, files, and of its checkpoint Told and
// Seq. State, Paused and the times, which others may have written meanwhile, come back in b.
//
// completion.ErrStale: somebody else has taken the batch. completion.ErrFinal: it has ended. Nothing was written in either
// case, and b is as stored in what comes back.
func (s *Store) SaveBatch(ctx context.Context, b *completion.Batch) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	query, err := save(s.db, b, completion.LiveBatches, time.Now())
	if err != nil {
		return wrap(err, "save batch %s", b.ID)
	}
	row, err := saved(ctx, s.db, b, query)
	row.bring(b)
	if errors.Is(err, sql.ErrNoRows) {
		err = completion.ErrFinal
	}
	return wrap(err, "save batch %s", b.ID)
}

// MoveBatch is SaveBatch and, in the same transaction, the batch's way to another state, the time of that, and the notice of
// a final state. A batch in a final state is held by nobody; one that is neither validating nor in progress is not paused. A
// repeat after an answer that was lost succeeds. The lines of a batch that comes into progress count against its Quota then.
//
// completion.CodeDayQuota, completion.CodeAllQuota: they do not fit; nothing was written, and b is as it was.
// completion.ErrStale and completion.ErrFinal: as SaveBatch. completion.ErrCancelled: a cancel was requested meanwhile, and
// leads elsewhere. Any other state that does not lead to to is an error without a name. Nothing was written in any of these
// cases, and b is as stored in what comes back.
func (s *Store) MoveBatch(ctx context.Context, b *completion.Batch, to completion.BatchState, at time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var row batchRow
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		query, err := save(tx, b, completion.BatchSources(to), at)
		if err != nil {
			return err
		}
		row, err = saved(ctx, tx, b, move(query, to, at))
		switch {
		case err != nil:
			return err
		case to == completion.BatchInProgress:
			return charge(ctx, tx, b.Tenant, b.Quota, b.Counts.Total, at)
		case to.Final():
			return notify(ctx, tx, b.Ref(), "batch."+string(to), at)
		default:
			return nil
		}
	})
	if err == nil || row.ID != "" && errors.Is(err, sql.ErrNoRows) || errors.Is(err, completion.ErrStale) {
		row.bring(b)
	}
	if errors.Is(err, sql.ErrNoRows) {
		switch {
		case b.State == to:
			err = nil
		case b.State.Final():
			err = completion.ErrFinal
		case b.State == completion.BatchCancelling:
			err = completion.ErrCancelled
		default:
			err = fmt.Errorf("it is %s", b.State)
		}
	}
	return wrap(err, "move batch %s to %s", b.ID, to)
}

// move adds to a statement what a batch's way to another state writes.
func move(query *bun.UpdateQuery, to completion.BatchState, at time.Time) *bun.UpdateQuery {
	query = query.Set("state = ?", to)
	switch to {
	case completion.BatchInProgress:
		return query.Set("in_progress_at = ?", stamp(at))
	case completion.BatchFinalizing:
		query = query.Set("finalizing_at = ?", stamp(at))
	case completion.BatchCancelling:
		query = query.Set("cancelling_at = ?", stamp(at))
	default:
		query = query.Set("ended_at = ?", stamp(at)).Set("holder = ''").Set("held_until = NULL")
	}
	return query.Set("paused = ?", false)
}

// save begins the statement with which the holder of a batch writes, if the batch is in one of the states.
func save(db bun.IDB, b *completion.Batch, from []completion.BatchState, at time.Time) (*bun.UpdateQuery, error) {
	row, err := newBatchRow(b)
	if err != nil {
		return nil, err
	}
	row.UpdatedAt = stamp(at)
	return db.NewUpdate().Model(row).
		Column("model", "output", "faults", "errors", "counts", "usage", "told", "told_seq", "updated_at").
		WherePK().Where("tenant = ?", row.Tenant).Where("epoch = ?", row.Epoch).Where("state IN (?)", bun.List(from)), nil
}

// brought are the columns that bring takes to a batch.
const brought = "id, state, paused, epoch, updated_at, in_progress_at, finalizing_at, cancelling_at, ended_at, holder, held_until"

// saved runs such a statement. sql.ErrNoRows: the batch is the caller's, but in another state, and comes with the error.
// completion.ErrStale: it is not, and comes too.
func saved(ctx context.Context, db bun.IDB, b *completion.Batch, query *bun.UpdateQuery) (batchRow, error) {
	row := batchRow{}
	err := query.Returning(brought).Scan(ctx, &row)
	if !errors.Is(err, sql.ErrNoRows) {
		return row, err
	}
	err = db.NewSelect().Model(&row).ColumnExpr(brought).Where("id = ?", text(b.ID)).Where("tenant = ?", text(b.Tenant)).Scan(ctx)
	switch {
	case err != nil:
		return row, missing(err)
	case row.Epoch != b.Epoch:
		return row, completion.ErrStale
	default:
		return row, sql.ErrNoRows
	}
}

// bring writes what others than the holder of b may have written to b. A row that was not read brings nothing.
func (r *batchRow) bring(b *completion.Batch) {
	if r.ID == "" {
		return
	}
	b.State, b.Paused, b.UpdatedAt = completion.BatchState(r.State), r.Paused, stamp(r.UpdatedAt)
	b.InProgressAt, b.FinalizingAt, b.CancellingAt, b.EndedAt = stamp(r.InProgressAt), stamp(r.FinalizingAt), stamp(r.CancellingAt), stamp(r.EndedAt)
	b.Holder, b.HeldUntil = r.Holder, stamp(r.HeldUntil)
}

// notify puts a notice of what became of ref into the outbox, if the tenant has an enabled webhook. Its id is like those
// that triggers make.
func notify(ctx context.Context, tx bun.Tx, ref completion.Ref, typ string, at time.Time) error {
	wanted, err := tx.NewSelect().Model((*webhookRow)(nil)).Where("tenant = ?", text(ref.Tenant)).Where("enabled").Exists(ctx)
	if err != nil || !wanted {
		return err
	}
	data, err := encode(map[string]string{"id": ref.Job}, false)
	if err != nil {
		return err
	}
	n := completion.NewNotice(ref.Tenant, typ, data, at)
	row := &outboxRow{ID: n.ID, Tenant: text(n.Tenant), Type: text(n.Type), Data: string(n.Data), CreatedAt: stamp(n.At)}
	_, err = tx.NewInsert().Model(row).Exec(ctx)
	return err
}
