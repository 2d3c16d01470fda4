package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Query narrows and pages a list. The zero value is the newest 20 jobs.
type Query struct {
	State         completion.State
	Lane          completion.Lane
	Model         string
	Batch         string // the batch whose lines are listed, the last line first; "" for jobs that are no lines
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Limit         int    // default 20, at most 100
	After         string // the id after which the page begins
	Oldest        bool   // oldest, or first line, first instead of newest first
}

const (
	defaultPage = 20
	maxPage     = 100
)

// List returns one page of the tenant's jobs, without their requests and results, and the id to pass as After for the
// next page, "" at the end. Ids are in the order of creation, so jobs that come meanwhile do not shift the pages.
func (s *Store) List(ctx context.Context, tenant string, q Query) (page []completion.Job, next string, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []jobRow
	query := q.narrow(s.db.NewSelect().Model(&rows).ExcludeColumn(heavy...), tenant)
	more, err := scanPage(ctx, query, &rows, span{most(q.Limit, defaultPage, maxPage), q.After, !q.Oldest})
	if err != nil {
		return nil, "", wrap(err, "list jobs")
	}
	if more {
		next = rows[len(rows)-1].ID
	}
	page, err = jobs(rows)
	return page, next, wrap(err, "list jobs")
}

func (q *Query) narrow(query *bun.SelectQuery, tenant string) *bun.SelectQuery {
	if q.Batch == "" {
		query = query.Where("tenant = ?", text(tenant)).Where("batch IS NULL")
	} else {
		query = ofBatch(query, completion.Ref{Tenant: tenant, Job: q.Batch}, 0, lastLine)
	}
	for column, value := range map[string]string{"state": text(q.State), "lane": text(q.Lane), "model": text(q.Model)} {
		if value != "" {
			query = query.Where("? = ?", bun.Ident(column), value)
		}
	}
	if !q.CreatedAfter.IsZero() {
		query = query.Where("created_at > ?", stamp(q.CreatedAfter))
	}
	if !q.CreatedBefore.IsZero() {
		query = query.Where("created_at < ?", stamp(q.CreatedBefore))
	}
	return query
}
