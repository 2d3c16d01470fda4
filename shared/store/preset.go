package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// presetRow is a tenant whose conversations have something in common, or all tenants.
type presetRow struct {
	bun.BaseModel `bun:"table:preset,alias:preset"`

	Tenant    string    `bun:"tenant,pk"`
	Preset    []byte    `bun:"preset"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// SetPreset gives a tenant, or completion.EveryTenant, a preset instead of the one it had. A zero preset takes it away.
func (s *Store) SetPreset(ctx context.Context, tenant string, p completion.Preset, at time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	preset, err := encode(p, false)
	switch {
	case err != nil:
	case string(preset) == "{}":
		_, err = s.db.NewDelete().Model((*presetRow)(nil)).Where("tenant = ?", text(tenant)).Exec(ctx)
	default:
		row := &presetRow{Tenant: text(tenant), Preset: preset, UpdatedAt: stamp(at)}
		_, err = s.db.NewInsert().Model(row).On("CONFLICT (tenant) DO UPDATE").
			Set("preset = EXCLUDED.preset").Set("updated_at = EXCLUDED.updated_at").Exec(ctx)
	}
	return wrap(err, "set preset of tenant %s", tenant)
}

// Preset returns what holds for a tenant: its own preset, and that of completion.EveryTenant in all that it leaves out.
func (s *Store) Preset(ctx context.Context, tenant string) (completion.Preset, error) {
	set, err := s.Presets(ctx, tenant, completion.EveryTenant)
	return set[tenant].Over(set[completion.EveryTenant]), err
}

// Presets returns, of the named tenants, the own presets of those that have one.
func (s *Store) Presets(ctx context.Context, tenants ...string) (map[string]completion.Preset, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []presetRow
	if err := s.db.NewSelect().Model(&rows).Where("tenant IN (?)", bun.List(tenants)).Scan(ctx); err != nil {
		return nil, wrap(err, "read presets")
	}
	set := make(map[string]completion.Preset, len(rows))
	for _, r := range rows {
		var p completion.Preset
		if err := decode(r.Preset, &p); err != nil {
			return nil, wrap(err, "decode preset of tenant %s", r.Tenant)
		}
		set[r.Tenant] = p
	}
	return set, nil
}
