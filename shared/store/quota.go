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

// quotaRow counts completions; see completion.Account.
type quotaRow struct {
	bun.BaseModel `bun:"table:quota,alias:quota"`

	Tenant string `bun:"tenant,pk"`
	Day    int    `bun:"day,pk"`
	Owner  string `bun:"owner,pk"`
	Used   int    `bun:"used"`
}

// charge counts n completions of a tenant that the transaction db accepts. An *completion.Error says that they do not fit:
// then the transaction must be undone. It is the last that a transaction does with rows that others may want too, and takes
// accounts in one order: so nobody waits for a transaction that waits for it.
func charge(ctx context.Context, db bun.IDB, tenant string, q completion.Quota, n int, at time.Time) error {
	for _, a := range q.Accounts(at) {
		if n > a.Limit {
			return a.Full(n, at)
		}
		row := &quotaRow{Tenant: text(tenant), Day: a.Day, Owner: text(a.Owner), Used: n}
		err := db.NewInsert().Model(row).On("CONFLICT (tenant, day, owner) DO UPDATE").Set("used = quota.used + EXCLUDED.used").
			Where("quota.used + EXCLUDED.used <= ?", a.Limit).Returning("used").Scan(ctx)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return a.Full(n, at)
		case err != nil:
			return fmt.Errorf("count completions: %w", err)
		}
	}
	return nil
}

// Used returns how much of each account of q is used at a time: those that Quota.Accounts has.
func (s *Store) Used(ctx context.Context, tenant string, q completion.Quota, at time.Time) (map[completion.Account]int, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	accounts := q.Accounts(at)
	used := make(map[completion.Account]int, len(accounts))
	if len(accounts) == 0 {
		return used, nil
	}
	var rows []quotaRow
	err := s.db.NewSelect().Model(&rows).Where("tenant = ?", text(tenant)).Where("day IN (?)", bun.List([]int{0, completion.Day(at)})).
		Where("owner IN (?)", bun.List([]string{"", text(q.Owner)})).Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read what completions are used")
	}
	for _, a := range accounts {
		used[a] = 0
		for _, r := range rows {
			if r.Day == a.Day && r.Owner == text(a.Owner) {
				used[a] = r.Used
			}
		}
	}
	return used, nil
}
