package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// tenantRow is a tenant that has limits, or all that have none.
type tenantRow struct {
	bun.BaseModel `bun:"table:tenant,alias:tenant"`

	Name      string    `bun:"name,pk"`
	Limits    []byte    `bun:"limits"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// SetLimits gives a tenant, or completion.EveryTenant, limits instead of those it had.
func (s *Store) SetLimits(ctx context.Context, tenant string, l completion.Limits, at time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	limits, err := encode(l, false)
	if err == nil {
		row := &tenantRow{Name: text(tenant), Limits: limits, UpdatedAt: stamp(at)}
		_, err = s.db.NewInsert().Model(row).On("CONFLICT (name) DO UPDATE").
			Set("limits = EXCLUDED.limits").Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	}
	return wrap(err, "set limits of tenant %s", tenant)
}

// Limits returns the limits of all tenants that have some, and of completion.EveryTenant.
func (s *Store) Limits(ctx context.Context) (map[string]completion.Limits, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []tenantRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, wrap(err, "read limits")
	}
	all := make(map[string]completion.Limits, len(rows))
	for _, r := range rows {
		var l completion.Limits
		if err := decode(r.Limits, &l); err != nil {
			return nil, wrap(err, "decode limits of tenant %s", r.Name)
		}
		all[r.Name] = l
	}
	return all, nil
}
