package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Drop deletes what Old has returned of a kind, in one transaction, and returns how many of these were still there. Nobody
// but the holder of the lease may: completion.ErrStale.
func (s *Store) Drop(ctx context.Context, l Lease, kind Kind, ids []string, at time.Time) (dropped int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	clean := make([]string, len(ids))
	for i := range ids {
		clean[i] = text(ids[i])
	}
	err = s.leased(ctx, l, at, func(ctx context.Context, tx bun.Tx) error {
		dropped, err = s.drop(ctx, tx, kind, clean, at)
		return err
	})
	if err != nil {
		return 0, wrap(err, "drop old %s", kind)
	}
	return dropped, nil
}

// drop says again what must stay, for what has changed since it was looked at.
func (s *Store) drop(ctx context.Context, tx bun.Tx, kind Kind, ids []string, at time.Time) (int, error) {
	from := func(table string) *bun.DeleteQuery {
		return tx.NewDelete().TableExpr(table).Where("id IN (?)", bun.List(ids))
	}
	switch kind {
	case KindJobs, KindStored, KindLines:
		return count(from("job").Where("state NOT IN (?)", bun.List(unended)).Exec(ctx))
	case KindBatches:
		// From now on the batch is not found, and nobody takes lines that are gone for lines that had no answer.
		_, err := tx.NewRaw("INSERT INTO pruned_batch (id, tenant) SELECT id, tenant FROM batch WHERE id IN (?) AND state NOT IN (?) "+
			"ON CONFLICT (id) DO NOTHING", bun.List(ids), bun.List(completion.LiveBatches)).Exec(ctx)
		if err != nil {
			return 0, err
		}
		return count(from("batch").Where("state NOT IN (?)", bun.List(completion.LiveBatches)).Exec(ctx))
	case KindMessages:
		_, err := from("job").Where("state NOT IN (?)", bun.List(unended)).Where("NOT stored").Exec(ctx)
		if err != nil {
			return 0, err
		}
		return count(from("message").Where("state NOT IN (?)", bun.List(unended)).Exec(ctx))
	case KindConversations:
		said := tx.NewSelect().TableExpr("message AS m").ColumnExpr("1").Where("m.conversation = conversation.id")
		return count(from("conversation").Where("deleted_at IS NOT NULL").Where("NOT EXISTS (?)", said).Exec(ctx))
	case KindFiles:
		return s.giveUp(ctx, tx, ids, at)
	case KindDeliveries:
		return count(from("delivery").Where("ended_at IS NOT NULL").Exec(ctx))
	default:
		return 0, errors.New("there is no such kind")
	}
}

// giveUp takes files from their tenants, as DeleteFile does; DoomedFiles has them from then on.
func (s *Store) giveUp(ctx context.Context, tx bun.Tx, ids []string, at time.Time) (int, error) {
	var held []string
	// The lock waits for whoever adds a batch that reads a file, so that the next statement sees the batch.
	query := tx.NewSelect().TableExpr("file").Column("id").Where("id IN (?)", bun.List(ids)).Where("deleted_at IS NULL").OrderExpr("id")
	if err := s.lock(query, "UPDATE").Scan(ctx, &held); err != nil || len(held) == 0 {
		return 0, err
	}
	return count(tx.NewUpdate().Model((*fileRow)(nil)).Set("deleted_at = ?", stamp(at)).Where("id IN (?)", bun.List(held)).
		Where("NOT EXISTS (?)", reader(tx).Where("b.input = file.id")).Exec(ctx))
}

// DropQuotaDays deletes up to limit counts of days before one, and returns how many. completion.ErrStale: as Drop.
func (s *Store) DropQuotaDays(ctx context.Context, l Lease, before, at time.Time, limit int) (dropped int, err error) {
	err = s.leased(ctx, l, at, func(ctx context.Context, tx bun.Tx) error {
		old := tx.NewSelect().TableExpr("quota AS o").ColumnExpr("o.tenant, o.day, o.owner").Where("o.day > 0").
			Where("o.day < ?", completion.Day(before)).Limit(int64(limit))
		dropped, err = count(tx.NewDelete().TableExpr("quota").Where("(tenant, day, owner) IN (?)", old).Exec(ctx))
		return err
	})
	return dropped, wrap(err, "drop old %s", KindQuotaDays)
}

// DropWorkers forgets workers that were last heard of before then, and returns how many. completion.ErrStale: as Drop.
func (s *Store) DropWorkers(ctx context.Context, l Lease, before, at time.Time) (dropped int, err error) {
	err = s.leased(ctx, l, at, func(ctx context.Context, tx bun.Tx) error {
		dropped, err = count(tx.NewDelete().TableExpr("worker").Where("seen_at <= ?", stamp(before)).Exec(ctx))
		return err
	})
	return dropped, wrap(err, "drop old %s", KindWorkers)
}

// count is how many rows a statement has changed.
func count(result sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
