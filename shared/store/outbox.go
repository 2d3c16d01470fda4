package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"sluice/shared/completion"
)

// outboxRow is a notice that no delivery has been made of. Triggers write most of them, with what they tell of.
type outboxRow struct {
	bun.BaseModel `bun:"table:outbox,alias:outbox"`

	ID        string    `bun:"id,pk"`
	Tenant    string    `bun:"tenant"`
	Type      string    `bun:"type"`
	Data      string    `bun:"data"`
	CreatedAt time.Time `bun:"created_at"`
}

func (r *outboxRow) notice() completion.Notice {
	return completion.Notice{ID: r.ID, Tenant: r.Tenant, Type: r.Type, Data: json.RawMessage(r.Data), At: stamp(r.CreatedAt)}
}

// lock lets a select hold its rows until its transaction ends, where others can write at the same time.
func (s *Store) lock(q *bun.SelectQuery, strength string) *bun.SelectQuery {
	if s.db.Dialect().Name() == dialect.SQLite { // its transactions exclude each other
		return q
	}
	return q.For(strength)
}

// FanOut makes deliveries of up to limit notices, one for each enabled webhook that wants it, and returns how many
// notices it took. Any number of processes may call it at once: each notice is taken by one.
func (s *Store) FanOut(ctx context.Context, at time.Time, limit int) (taken int, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	waiting, err := s.db.NewSelect().Model((*outboxRow)(nil)).Limit(1).Exists(ctx)
	if err != nil || !waiting {
		return 0, wrap(err, "look for notices")
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var rows []outboxRow
		query := tx.NewSelect().Model(&rows).OrderExpr("created_at ASC").Limit(int64(limit))
		if err := s.lock(query, "UPDATE SKIP LOCKED").Scan(ctx); err != nil || len(rows) == 0 {
			return err
		}
		taken = len(rows)
		return s.fanOut(ctx, tx, rows, at)
	})
	if err != nil {
		return 0, wrap(err, "make deliveries of notices")
	}
	return taken, nil
}

func (s *Store) fanOut(ctx context.Context, tx bun.Tx, notices []outboxRow, at time.Time) error {
	ids, tenants := make([]string, len(notices)), make([]string, len(notices))
	for i := range notices {
		ids[i], tenants[i] = notices[i].ID, notices[i].Tenant
	}
	var hooks []webhookRow
	query := tx.NewSelect().Model(&hooks).Where("enabled").Where("tenant IN (?)", bun.List(tenants))
	if err := s.lock(query, "KEY SHARE").Scan(ctx); err != nil { // so that nobody deletes them meanwhile
		return fmt.Errorf("read webhooks: %w", err)
	}
	deliveries, err := deliveriesOf(notices, webhooks(hooks), at)
	if err != nil {
		return err
	}
	if len(deliveries) > 0 {
		if _, err := tx.NewInsert().Model(&deliveries).On("CONFLICT (webhook, notice) DO NOTHING").Exec(ctx); err != nil {
			return fmt.Errorf("add deliveries: %w", err)
		}
	}
	_, err = tx.NewDelete().Model((*outboxRow)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return err
}

func deliveriesOf(notices []outboxRow, hooks []completion.Webhook, at time.Time) ([]deliveryRow, error) {
	var deliveries []deliveryRow
	for i := range notices {
		n := notices[i].notice()
		for j := range hooks {
			if hooks[j].Tenant != n.Tenant || !hooks[j].Wants(n.Type) {
				continue
			}
			d, err := completion.NewDelivery(&n, hooks[j].ID, at)
			if err != nil {
				return nil, err
			}
			deliveries = append(deliveries, *newDeliveryRow(&d))
		}
	}
	return deliveries, nil
}
