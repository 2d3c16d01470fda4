package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"sluice/shared/completion"
)

// FeedBatch makes jobs of lines and stores how far that has come (Fed and Offset of b.Checkpoint) in one transaction. Lines
// that are jobs already stay as they are. completion.ErrStale: somebody else has taken the batch, or it is not in progress
// any more; nothing was written.
func (s *Store) FeedBatch(ctx context.Context, b *completion.Batch, jobs []completion.Job) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	rows := make([]jobRow, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		if j.Batch != b.ID || j.Tenant != b.Tenant || j.ID != b.LineJobID(j.Line) {
			return fmt.Errorf("feed batch %s: job %s is not the one of its line %d", b.ID, j.ID, j.Line)
		}
		row, err := newRow(j)
		if err != nil {
			return wrap(err, "feed batch %s", b.ID)
		}
		rows[i] = *row
	}
	insert := insertLines
	if s.db.Dialect().Name() == dialect.PG {
		insert = copyLines
	}
	err := s.feed(ctx, b, rows, insert)
	if repeated(err) {
		err = s.feed(ctx, b, rows, insertLines)
	}
	return wrap(err, "feed batch %s", b.ID)
}

func (s *Store) feed(ctx context.Context, b *completion.Batch, rows []jobRow, insert func(context.Context, bun.Conn, bun.Tx, []jobRow) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // gives it back to the pool
	return conn.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := affected(tx.NewUpdate().Model((*batchRow)(nil)).Set("fed = ?", b.Checkpoint.Fed).Set("input_offset = ?", b.Checkpoint.Offset).
			Where("id = ?", text(b.ID)).Where("tenant = ?", text(b.Tenant)).Where("epoch = ?", b.Epoch).
			Where("state = ?", completion.BatchInProgress).Exec(ctx))
		if errors.Is(err, sql.ErrNoRows) {
			return completion.ErrStale
		}
		if err != nil || len(rows) == 0 {
			return err
		}
		return insert(ctx, conn, tx, rows)
	})
}

// fedColumns are those that a line has when it becomes a job; see fedValues.
var fedColumns = []string{
	"id", "tenant", "lane", "state", "model", "request", "metadata", "created_at", "updated_at", "deadline", "request_id", "endpoint",
	"batch", "line", "custom_id",
}

func fedValues(r *jobRow) []any {
	var metadata any
	if len(r.Metadata) > 0 {
		metadata = r.Metadata
	}
	return []any{
		r.ID, r.Tenant, r.Lane, r.State, r.Model, r.Request, metadata, r.CreatedAt, r.UpdatedAt, nullTime(r.Deadline), nullText(r.RequestID), r.Endpoint,
		r.Batch, r.Line, nullText(r.CustomID),
	}
}

// insertLines leaves lines alone that are there already.
func insertLines(ctx context.Context, _ bun.Conn, tx bun.Tx, rows []jobRow) error {
	_, err := tx.NewInsert().Model(&rows).Column(fedColumns...).On("CONFLICT (id) DO NOTHING").Exec(ctx)
	return err
}

// copyLines is insertLines by PostgreSQL's own way for many rows: it is faster, and requests are not spelled out in a
// statement, which would take many times their size. See BenchmarkStore_FeedBatch. It fails if a line is there already.
func copyLines(ctx context.Context, conn bun.Conn, _ bun.Tx, rows []jobRow) error {
	return conn.Raw(func(driver any) error {
		c, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver's connection is a %T", driver)
		}
		_, err := c.Conn().CopyFrom(ctx, pgx.Identifier{"job"}, fedColumns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			return fedValues(&rows[i]), nil
		}))
		return err
	})
}

// repeated reports whether a row was there already.
func repeated(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "23505"
}
