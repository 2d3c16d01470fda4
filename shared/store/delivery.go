package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// deliveryRow is a delivery in the table.
type deliveryRow struct {
	bun.BaseModel `bun:"table:delivery,alias:delivery"`

	ID         string    `bun:"id,pk"`
	Tenant     string    `bun:"tenant"`
	Webhook    string    `bun:"webhook"`
	Notice     string    `bun:"notice"`
	Type       string    `bun:"type"`
	Body       []byte    `bun:"body"`
	State      string    `bun:"state"`
	Attempts   int       `bun:"attempts"`
	Tries      int       `bun:"tries"`
	NextAt     time.Time `bun:"next_at,nullzero"`
	HeldUntil  time.Time `bun:"held_until,nullzero"`
	LastAt     time.Time `bun:"last_at,nullzero"`
	LastStatus int       `bun:"last_status,nullzero"`
	LastError  string    `bun:"last_error,nullzero"`
	CreatedAt  time.Time `bun:"created_at"`
	ExpiresAt  time.Time `bun:"expires_at"`
	EndedAt    time.Time `bun:"ended_at,nullzero"`
}

func newDeliveryRow(d *completion.Delivery) *deliveryRow {
	return &deliveryRow{
		ID: text(d.ID), Tenant: text(d.Tenant), Webhook: text(d.Webhook), Notice: text(d.Notice), Type: text(d.Type), Body: d.Body,
		State: text(d.State), Attempts: d.Attempts, Tries: d.Tries, NextAt: stamp(d.NextAt), LastAt: stamp(d.LastAt),
		LastStatus: d.LastStatus, LastError: text(d.LastError), CreatedAt: stamp(d.CreatedAt), ExpiresAt: stamp(d.ExpiresAt), EndedAt: stamp(d.EndedAt),
	}
}

func (r *deliveryRow) delivery() completion.Delivery {
	return completion.Delivery{
		ID: r.ID, Tenant: r.Tenant, Webhook: r.Webhook, Notice: r.Notice, Type: r.Type, Body: r.Body,
		State: completion.DeliveryState(r.State), Attempts: r.Attempts, Tries: r.Tries, NextAt: stamp(r.NextAt), LastAt: stamp(r.LastAt),
		LastStatus: r.LastStatus, LastError: r.LastError, CreatedAt: stamp(r.CreatedAt), ExpiresAt: stamp(r.ExpiresAt), EndedAt: stamp(r.EndedAt),
	}
}

func deliveries(rows []deliveryRow) []completion.Delivery {
	list := make([]completion.Delivery, 0, len(rows))
	for i := range rows {
		list = append(list, rows[i].delivery())
	}
	return list
}

// DeliveryQuery narrows and pages a list of deliveries. The zero value is the newest 20.
type DeliveryQuery struct {
	State completion.DeliveryState
	Limit int    // default 20, at most 100
	After string // the id after which the page begins
}

// Deliveries returns one page of a webhook's deliveries, the newest first, and the id to pass as After for the next page,
// "" at the end. A webhook of another tenant has none.
func (s *Store) Deliveries(ctx context.Context, tenant, webhook string, q DeliveryQuery) (page []completion.Delivery, next string, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []deliveryRow
	query := s.db.NewSelect().Model(&rows).Where("webhook = ?", text(webhook)).Where("tenant = ?", text(tenant))
	if q.State != "" {
		query = query.Where("state = ?", text(q.State))
	}
	more, err := scanPage(ctx, query, &rows, span{most(q.Limit, defaultPage, maxPage), q.After, true})
	if err != nil {
		return nil, "", wrap(err, "list deliveries of webhook %s", webhook)
	}
	if more {
		next = rows[len(rows)-1].ID
	}
	return deliveries(rows), next, nil
}

// AddDelivery stores a delivery that no notice in the outbox asks for. completion.ErrNotFound: the webhook is gone.
func (s *Store) AddDelivery(ctx context.Context, d completion.Delivery) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		hook := webhookRow{}
		query := tx.NewSelect().Model(&hook).Column("id").Where("id = ?", text(d.Webhook)).Where("tenant = ?", text(d.Tenant))
		if err := s.lock(query, "KEY SHARE").Scan(ctx); err != nil { // so that nobody deletes it meanwhile
			return missing(err)
		}
		_, err := tx.NewInsert().Model(newDeliveryRow(&d)).Exec(ctx)
		return err
	})
	return wrap(err, "add delivery %s", d.ID)
}

// Resend makes a delivery due at once, whatever became of it, and gives it the whole time again. completion.ErrNotFound:
// that webhook of the tenant has no such delivery.
func (s *Store) Resend(ctx context.Context, tenant, webhook, id string, at time.Time) (completion.Delivery, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := deliveryRow{}
	err := s.db.NewUpdate().Model(&row).
		Set("state = ?", completion.DeliveryPending).Set("tries = 0").Set("next_at = ?", stamp(at)).
		Set("expires_at = ?", stamp(at.Add(completion.GiveUpAfter))).Set("ended_at = NULL").
		Where("id = ?", text(id)).Where("webhook = ?", text(webhook)).Where("tenant = ?", text(tenant)).Returning("*").Scan(ctx)
	if err != nil {
		return completion.Delivery{}, wrap(missing(err), "send delivery %s again", id)
	}
	return row.delivery(), nil
}

// Share is how much of the sending is one webhook's or one tenant's at most.
type Share struct {
	Webhook int // deliveries of one webhook that somebody sees to at a time
	Tenant  int // the same of one tenant
	All     int // deliveries that one call of HandOut returns
}

// HandOut returns deliveries that are due and that nobody sees to, and holds them for the caller until the given time. No
// webhook and no tenant gets more than its share, so that one that does not answer leaves the others their turn. Any
// number of processes may call it at once: each delivery goes to one.
func (s *Store) HandOut(ctx context.Context, at, until time.Time, share Share) ([]completion.Delivery, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	due := s.db.NewSelect().TableExpr("delivery AS d").Join("JOIN webhook AS w ON w.id = d.webhook AND w.enabled").
		ColumnExpr("d.id, d.tenant, d.next_at, d.held_until").
		ColumnExpr("row_number() OVER (PARTITION BY d.webhook ORDER BY d.next_at, d.id) AS webhook_turn").
		Where("d.state = ?", completion.DeliveryPending).Where("d.next_at <= ?", stamp(at))
	fair := s.db.NewSelect().TableExpr("(?) AS due", due).ColumnExpr("due.*").
		ColumnExpr("row_number() OVER (PARTITION BY tenant ORDER BY webhook_turn, next_at, id) AS tenant_turn").
		Where("webhook_turn <= ?", share.Webhook)
	next := s.db.NewSelect().TableExpr("(?) AS fair", fair).Column("id").Where("tenant_turn <= ?", share.Tenant).
		Where("held_until IS NULL OR held_until <= ?", stamp(at)).OrderExpr("next_at ASC").Limit(int64(share.All))
	// Said again where rows are locked, for those that another process has taken meanwhile.
	free := s.lock(s.db.NewSelect().TableExpr("delivery AS free").Column("free.id").Where("free.id IN (?)", next).
		Where("free.state = ?", completion.DeliveryPending).Where("free.held_until IS NULL OR free.held_until <= ?", stamp(at)), "UPDATE SKIP LOCKED")
	var rows []deliveryRow
	err := s.db.NewUpdate().Model(&rows).Set("held_until = ?", stamp(until)).Where("id IN (?)", free).Returning("*").Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, wrap(err, "hand out deliveries")
	}
	return deliveries(rows), nil
}

// StartDelivery begins the attempt after the given one and holds the delivery until the given time; of any number that begin
// it, one does. completion.ErrStale: it has begun, or the delivery has ended.
func (s *Store) StartDelivery(ctx context.Context, tenant, id string, after int, at, until time.Time) (completion.Delivery, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := deliveryRow{}
	err := s.db.NewUpdate().Model(&row).Set("attempts = attempts + 1").Set("tries = tries + 1").
		Set("last_at = ?", stamp(at)).Set("held_until = ?", stamp(until)).
		Where("id = ?", text(id)).Where("tenant = ?", text(tenant)).Where("attempts = ?", after).
		Where("state = ?", completion.DeliveryPending).Returning("*").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		err = completion.ErrStale
	}
	if err != nil {
		return completion.Delivery{}, wrap(err, "start delivery %s", id)
	}
	return row.delivery(), nil
}

// EndDelivery stores how the attempt d.Attempts ended: State, NextAt, LastStatus, LastError and EndedAt of d. It does nothing
// if a later attempt has begun.
func (s *Store) EndDelivery(ctx context.Context, d completion.Delivery) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewUpdate().Model(newDeliveryRow(&d)).
		Column("state", "next_at", "held_until", "last_status", "last_error", "ended_at").
		WherePK().Where("tenant = ?", text(d.Tenant)).Where("attempts = ?", d.Attempts).Where("state = ?", completion.DeliveryPending).Exec(ctx)
	return wrap(err, "end delivery %s", d.ID)
}

// GiveUpDeliveries ends those as failed that were not taken in time.
func (s *Store) GiveUpDeliveries(ctx context.Context, at time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewUpdate().Model((*deliveryRow)(nil)).
		Set("state = ?", completion.DeliveryFailed).Set("ended_at = ?", stamp(at)).Set("next_at = NULL").
		Where("state = ?", completion.DeliveryPending).Where("expires_at <= ?", stamp(at)).
		Where("held_until IS NULL OR held_until <= ?", stamp(at)).Exec(ctx)
	return wrap(err, "give up deliveries")
}
