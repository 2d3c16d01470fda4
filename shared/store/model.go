package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// modelListRow is what an upstream serves.
type modelListRow struct {
	bun.BaseModel `bun:"table:model_list,alias:model_list"`

	Upstream string    `bun:"upstream,pk"`
	Digest   string    `bun:"digest"`
	Models   []byte    `bun:"models,nullzero"`
	Native   bool      `bun:"native"`
	SeenAt   time.Time `bun:"seen_at"`
}

// SetModels writes down what an upstream serves, instead of what it did; the list's digest is made here. Of one that is the
// same only the time is written. It also forgets lists that count no more.
func (s *Store) SetModels(ctx context.Context, l completion.ModelList) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := &modelListRow{Upstream: text(l.Upstream), Models: l.Models, Native: l.Native, SeenAt: stamp(l.SeenAt)}
	if len(l.Models) > 0 {
		sum := sha256.Sum256(l.Models)
		row.Digest = hex.EncodeToString(sum[:])
	}
	same, err := s.db.NewUpdate().Model(row).Column("seen_at").WherePK().Where("digest = ?", row.Digest).Where("native = ?", row.Native).Exec(ctx)
	if err != nil {
		return wrap(err, "confirm models of %s", l.Upstream)
	}
	if n, err := same.RowsAffected(); err != nil || n == 0 {
		_, err = s.db.NewInsert().Model(row).On("CONFLICT (upstream) DO UPDATE").
			Set("digest = EXCLUDED.digest").Set("models = EXCLUDED.models").Set("native = EXCLUDED.native").Set("seen_at = EXCLUDED.seen_at").Exec(ctx)
		if err != nil {
			return wrap(err, "set models of %s", l.Upstream)
		}
	}
	_, err = s.db.NewDelete().Model(row).Where("seen_at < ?", stamp(l.SeenAt.Add(-completion.ModelListAge))).Exec(ctx)
	return wrap(err, "forget old models")
}

// Models returns the lists that still count, by upstream. Those whose digest the caller knows come without their models.
func (s *Store) Models(ctx context.Context, now time.Time, known ...string) ([]completion.ModelList, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []modelListRow
	err := s.db.NewSelect().Model(&rows).Column("upstream", "digest", "native", "seen_at").
		ColumnExpr("CASE WHEN digest IN (?) THEN NULL ELSE models END AS models", bun.List(known)).
		Where("seen_at >= ?", stamp(now.Add(-completion.ModelListAge))).OrderExpr("upstream ASC").Scan(ctx)
	if err != nil {
		return nil, wrap(err, "read models")
	}
	lists := make([]completion.ModelList, 0, len(rows))
	for _, r := range rows {
		lists = append(lists, completion.ModelList{Upstream: r.Upstream, Models: r.Models, Digest: r.Digest, Native: r.Native, SeenAt: stamp(r.SeenAt)})
	}
	return lists, nil
}
