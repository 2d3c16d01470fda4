package store

import (
	"context"

	"github.com/uptrace/bun"
)

// span is the part of a list that a page shows. Ids are in the order of creation.
type span struct {
	limit  int
	after  string // the id after which it begins; empty: at the start
	newest bool   // newest first instead of oldest first
}

// most is a limit from 1 to top; what is not positive means the usual one.
func most(limit, usual, top int) int {
	if limit <= 0 {
		return usual
	}
	return min(limit, top)
}

// scanPage reads the span of what a query selects, and reports whether more follow.
func scanPage[R any](ctx context.Context, query *bun.SelectQuery, rows *[]R, s span) (more bool, err error) {
	order, beyond := "id ASC", "id > ?"
	if s.newest {
		order, beyond = "id DESC", "id < ?"
	}
	if s.after != "" {
		query = query.Where(beyond, text(s.after))
	}
	if err := query.OrderExpr(order).Limit(int64(s.limit)+1).Scan(ctx, rows); err != nil {
		return false, err
	}
	if more = len(*rows) > s.limit; more {
		*rows = (*rows)[:s.limit]
	}
	return more, nil
}
