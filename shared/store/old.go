package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Kind is what goes when it is old enough.
type Kind string

// The kinds, in the order in which they are to be dropped: some wait for others to be gone.
const (
	KindJobs          Kind = "jobs"          // that are neither stored nor lines of batches, by when they ended
	KindStored        Kind = "stored"        // jobs whose answers clients have asked to store, by when they ended
	KindBatches       Kind = "batches"       // by when they ended; their lines go after them
	KindLines         Kind = "lines"         // jobs of batches that are gone, whatever their age
	KindMessages      Kind = "messages"      // with the jobs of answers, by when they or their conversation were deleted
	KindConversations Kind = "conversations" // without messages, by when they were deleted
	KindFiles         Kind = "files"         // that would stay for ever, by when they were uploaded; their content goes after them
	KindDeliveries    Kind = "deliveries"    // by when they ended
	KindQuotaDays     Kind = "quota_days"    // by their day
	KindWorkers       Kind = "workers"       // by when they were last heard of
)

// Old is something old enough to go.
type Old struct {
	completion.Ref
	EndedAt time.Time // when the job or batch ended, of whose log somebody may still read; zero: there is none
}

// oldRow is an Old of a table.
type oldRow struct {
	ID      string
	Tenant  string
	EndedAt bun.NullTime
}

// Old returns up to limit of those of a kind that have been what the kind says since before, about the oldest first. It leaves out what
// must stay at that time, whatever its age: what has not ended, answers that their messages do not have yet, names that have
// not been taken, what a live batch reads, and whatever an idempotency key has made within completion.IdempotencyAge. Quota
// days and workers are counted by CountOld only.
func (s *Store) Old(ctx context.Context, kind Kind, before, at time.Time, limit int) ([]Old, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if kind == KindLines {
		return s.oldLines(ctx, limit)
	}
	query, order, err := s.old(kind, before, at)
	if kind == KindMessages {
		query = s.oldMessages(before, at, fewConversations)
	}
	if err != nil {
		return nil, err
	}
	if order != "" {
		query = query.OrderExpr(order)
	}
	return scanOld(ctx, query.Limit(int64(limit)), kind)
}

// fewConversations is how many deleted conversations one call of Old looks at, each of which has messages.
const fewConversations = 100

func scanOld(ctx context.Context, query *bun.SelectQuery, kind Kind) ([]Old, error) {
	var rows []oldRow
	if err := query.Scan(ctx, &rows); err != nil {
		return nil, wrap(err, "look for old %s", kind)
	}
	list := make([]Old, len(rows))
	for i, r := range rows {
		list[i] = Old{Ref: completion.Ref{Tenant: r.Tenant, Job: r.ID}, EndedAt: stamp(r.EndedAt.Time)}
	}
	return list, nil
}

// CountOld counts what Old would return without a limit; lines are those of old batches and of batches that are gone.
func (s *Store) CountOld(ctx context.Context, kind Kind, before, at time.Time) (int, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	query, _, err := s.old(kind, before, at)
	if err != nil {
		return 0, err
	}
	var n int
	err = s.db.NewSelect().TableExpr("(?) AS old", query).ColumnExpr("count(*)").Scan(ctx, &n)
	return n, wrap(err, "count old %s", kind)
}

// old selects, as o, what Old says of a kind, and in which order.
func (s *Store) old(kind Kind, before, at time.Time) (query *bun.SelectQuery, order string, err error) {
	from := func(table, ended, since string) *bun.SelectQuery {
		return s.db.NewSelect().TableExpr(table+" AS o").ColumnExpr("o.id, o.tenant, "+ended+" AS ended_at").Where("o."+since+" <= ?", stamp(before))
	}
	switch kind {
	case KindJobs, KindStored:
		query, order = from("job", "o.finished_at", "finished_at"), "o.finished_at"
		query = query.Where("o.stored = ?", kind == KindStored).Where("o.batch IS NULL").Where("o.state NOT IN (?)", bun.List(unended)).
			Where("NOT EXISTS (?)", s.db.NewSelect().TableExpr("message AS m").ColumnExpr("1").Where("m.id = o.id").Where("m.state IN (?)", bun.List(unended))).
			Where("NOT EXISTS (?)", s.db.NewSelect().TableExpr("conversation AS c").ColumnExpr("1").Where("c.naming = o.id").Where("c.deleted_at IS NULL"))
		query = unpromised(query, "o", at)
	case KindBatches:
		query, order = unpromised(from("batch", "o.ended_at", "ended_at"), "o", at).Where("o.state NOT IN (?)", bun.List(completion.LiveBatches)), "o.ended_at"
	case KindLines:
		query = s.linesOf(before, at)
	case KindMessages:
		query = s.oldMessages(before, at, 0)
	case KindConversations:
		query, order = unpromised(from("conversation", "NULL", "deleted_at"), "o", at).
			Where("NOT EXISTS (?)", s.db.NewSelect().TableExpr("message AS m").ColumnExpr("1").Where("m.conversation = o.id")).
			Where("NOT EXISTS (?)", s.turn("o.id").Where("NOT j.held").Where("j.state IN (?)", bun.List(unended))).
			Where("NOT EXISTS (?)", s.turn("o.id").Where("j.held").Where("j.state = ?", completion.Queued)), "o.deleted_at"
	case KindFiles:
		query, order = from("file", "NULL", "created_at").Where("o.ready").Where("o.expires_at IS NULL").Where("o.deleted_at IS NULL").
			Where("NOT EXISTS (?)", reader(s.db).Where("b.input = o.id")), "o.created_at"
	case KindDeliveries:
		query, order = from("delivery", "NULL", "ended_at"), "o.ended_at"
	case KindQuotaDays:
		query = s.db.NewSelect().TableExpr("quota AS o").ColumnExpr("o.tenant").Where("o.day > 0").Where("o.day < ?", completion.Day(before))
	case KindWorkers:
		query = s.db.NewSelect().TableExpr("worker AS o").ColumnExpr("o.id").Where("o.seen_at <= ?", stamp(before))
	default:
		return nil, "", fmt.Errorf("look for old %q: there is no such kind", kind)
	}
	return query, order, nil
}

// turn selects turns of a conversation, which is an expression.
func (s *Store) turn(conversation string) *bun.SelectQuery {
	return s.db.NewSelect().TableExpr("job AS j").ColumnExpr("1").Where("j.conversation = " + conversation)
}

// unpromised leaves out what is still promised to whoever asks again with the same idempotency key.
func unpromised(query *bun.SelectQuery, table string, at time.Time) *bun.SelectQuery {
	return query.Where("(?0.idempotency_key IS NULL OR ?0.created_at <= ?1)", bun.Ident(table), stamp(at.Add(-completion.IdempotencyAge)))
}

// oldMessages selects messages that were deleted, and those of conversations that were, of some at a time; 0 means all. Two
// selects, each with its index, and no order, which would take all of them each time.
func (s *Store) oldMessages(before, at time.Time, conversations int) *bun.SelectQuery {
	columns := "m.id, m.tenant, m.state"
	dropped := s.db.NewSelect().TableExpr("message AS m").ColumnExpr(columns).Where("m.deleted_at <= ?", stamp(before))
	said := s.db.NewSelect().TableExpr("message AS s").ColumnExpr("1").Where("s.conversation = c.id")
	some := s.db.NewSelect().TableExpr("conversation AS c").ColumnExpr("c.id").Where("c.deleted_at <= ?", stamp(before)).
		Where("EXISTS (?)", said).OrderExpr("c.deleted_at").Limit(int64(conversations))
	gone := s.db.NewSelect().TableExpr("(?) AS c", some).Join("JOIN message AS m ON m.conversation = c.id").ColumnExpr(columns).
		Where("(m.deleted_at IS NULL OR m.deleted_at > ?)", stamp(before))
	// What a column is made of is looked up for each row, whatever PostgreSQL believes to know of the tables.
	free := s.db.NewSelect().TableExpr("job AS j").Where("j.id = o.id").
		ColumnExpr("j.state NOT IN (?) AND (j.idempotency_key IS NULL OR j.created_at <= ?)", bun.List(unended), stamp(at.Add(-completion.IdempotencyAge)))
	return s.db.NewSelect().TableExpr("(?) AS o", dropped.UnionAll(gone)).ColumnExpr("o.id, o.tenant").
		ColumnExpr("(SELECT j.finished_at FROM job AS j WHERE j.id = o.id) AS ended_at").
		Where("o.state NOT IN (?)", bun.List(unended)).Where("COALESCE((?), TRUE)", free)
}

// linesOf selects the lines of old batches and of those that are gone: to count them, not to find them one by one.
func (s *Store) linesOf(before, at time.Time) *bun.SelectQuery {
	batches, _, _ := s.old(KindBatches, before, at) // there is such a kind
	gone := s.db.NewSelect().TableExpr("pruned_batch AS p").ColumnExpr("p.id, p.tenant, NULL AS ended_at")
	return s.db.NewSelect().TableExpr("job AS j").ColumnExpr("j.id").Where("j.state NOT IN (?)", bun.List(unended)).
		Where("j.batch IN (?)", s.db.NewSelect().TableExpr("(?) AS b", batches.UnionAll(gone)).ColumnExpr("b.id"))
}

// oldLines returns lines of the first batch that is gone and has some, and forgets those that have none.
func (s *Store) oldLines(ctx context.Context, limit int) ([]Old, error) {
	for after := ""; ; {
		var gone []oldRow
		err := s.db.NewSelect().TableExpr("pruned_batch").Column("id", "tenant").Where("id > ?", after).OrderExpr("id").Limit(1).Scan(ctx, &gone)
		if err != nil || len(gone) == 0 {
			return nil, wrap(err, "look for old %s", KindLines)
		}
		after = gone[0].ID
		ref := completion.Ref{Tenant: gone[0].Tenant, Job: after}
		lines := ofBatch(s.db.NewSelect().TableExpr("job AS o").ColumnExpr("o.id, o.tenant, NULL AS ended_at"), ref, 0, lastLine)
		list, err := scanOld(ctx, lines.Where("o.state NOT IN (?)", bun.List(unended)).OrderExpr("o.id").Limit(int64(limit)), KindLines)
		if err != nil || len(list) > 0 {
			return list, err
		}
		left := ofBatch(s.db.NewSelect().TableExpr("job AS o").ColumnExpr("1"), ref, 0, lastLine)
		if _, err := s.db.NewDelete().TableExpr("pruned_batch").Where("id = ?", after).Where("NOT EXISTS (?)", left).Exec(ctx); err != nil {
			return nil, wrap(err, "forget batch %s", after)
		}
	}
}
