package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Lines of a batch have ids in their order, see completion.Batch.LineJobID: the primary key serves where an index of batches
// and lines would.

// lastLine is above the number of any line.
const lastLine = math.MaxUint32

// lineID is the id of the job that runs a line of the batch.
func lineID(ref completion.Ref, line int) string {
	b := completion.Batch{ID: ref.Job}
	return text(b.LineJobID(line))
}

// ofBatch narrows a query to the lines of a batch after one and up to another.
func ofBatch[Q interface{ Where(string, ...any) Q }](query Q, ref completion.Ref, after, upto int) Q {
	return query.Where("id > ?", lineID(ref, after)).Where("id <= ?", lineID(ref, upto)).
		Where("batch = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant))
}

// Lines returns the jobs of those lines, in line order. They come without their requests, save for responses, whose answers
// repeat parts of them. Lines that are no jobs are left out.
func (s *Store) Lines(ctx context.Context, ref completion.Ref, lines []int) ([]completion.Job, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	ids := make([]string, len(lines))
	for i, line := range lines {
		ids[i] = lineID(ref, line)
	}
	return s.lines(ctx, ref, func(q *bun.SelectQuery) *bun.SelectQuery {
		return answers(q).Where("id IN (?)", bun.List(ids)).Where("batch = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant))
	})
}

// answers selects what the answer to a job consists of.
func answers(q *bun.SelectQuery) *bun.SelectQuery {
	return q.ExcludeColumn("request").ColumnExpr("CASE WHEN endpoint = ? THEN request END AS request", completion.EndpointResponses)
}

// LinesFrom returns the jobs of up to limit lines after one and up to another. They come like those of Lines.
func (s *Store) LinesFrom(ctx context.Context, ref completion.Ref, after, upto, limit int) ([]completion.Job, error) {
	return s.lines(ctx, ref, func(q *bun.SelectQuery) *bun.SelectQuery {
		return answers(ofBatch(q, ref, after, upto)).Limit(int64(limit))
	})
}

// OpenLines returns the jobs of up to limit lines after one that are in no final state, in line order. They have no more than
// what tells them apart and what the queue needs.
func (s *Store) OpenLines(ctx context.Context, ref completion.Ref, after, limit int) ([]completion.Job, error) {
	return s.lines(ctx, ref, func(q *bun.SelectQuery) *bun.SelectQuery {
		return ofBatch(q, ref, after, lastLine).Where("state IN (?)", bun.List(unended)).
			Column("id", "tenant", "lane", "state", "attempt", "retry_at", "updated_at", "batch", "line", "custom_id").Limit(int64(limit))
	})
}

// unended are the states of jobs that are not final, as the index of such jobs has them.
var unended = []completion.State{completion.Queued, completion.Running}

func (s *Store) lines(ctx context.Context, ref completion.Ref, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []jobRow
	if err := narrow(s.db.NewSelect().Model(&rows)).OrderExpr("id ASC").Scan(ctx); err != nil {
		return nil, wrap(err, "read lines of batch %s", ref.Job)
	}
	list, err := jobs(rows)
	return list, wrap(err, "read lines of batch %s", ref.Job)
}

// CountLines counts the lines of a batch that are jobs, by state.
func (s *Store) CountLines(ctx context.Context, ref completion.Ref) (map[completion.State]int, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []struct {
		State completion.State
		N     int
	}
	query := s.db.NewSelect().Model((*jobRow)(nil)).Column("state").ColumnExpr("count(*) AS n").Group("state")
	if err := ofBatch(query, ref, 0, lastLine).Scan(ctx, &rows); err != nil {
		return nil, wrap(err, "count lines of batch %s", ref.Job)
	}
	counts := make(map[completion.State]int, len(rows))
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, nil
}

// EndLines ends all queued lines of a batch as cancelled or expired, and returns how many these were. Of those that run it
// asks for the end: their workers find that by CancelRequests.
func (s *Store) EndLines(ctx context.Context, ref completion.Ref, to completion.State, at time.Time) (ended int, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	code := completion.CodeCancelled
	if to == completion.Expired {
		code = completion.CodeExpired
	}
	failure, err := encode(completion.NewError(code, ""), false)
	if err != nil {
		return 0, wrap(err, "end lines of batch %s", ref.Job)
	}
	var states []completion.State
	for range 3 { // whoever finishes many of them at once may be in the way
		states = nil
		// One statement for both: a line may start, or come back, meanwhile.
		err = ofBatch(s.db.NewUpdate().Model((*jobRow)(nil)), ref, 0, lastLine).
			Where("state IN (?)", bun.List(unended)).Where("(state = ? OR NOT cancel_requested)", completion.Queued).
			Set("cancel_requested = ?", true).Set("updated_at = ?", stamp(at)).
			Set("state = CASE WHEN state = ? THEN ? ELSE state END", completion.Queued, to).
			Set("error = CASE WHEN state = ? THEN ? ELSE error END", completion.Queued, failure).
			Set("finished_at = CASE WHEN state = ? THEN ? ELSE finished_at END", completion.Queued, stamp(at)).
			Returning("state").Scan(ctx, &states)
		if !deadlocked(err) {
			break
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	for _, state := range states {
		if state == to {
			ended++
		}
	}
	return ended, wrap(err, "end lines of batch %s", ref.Job)
}
