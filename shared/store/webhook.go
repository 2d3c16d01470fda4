package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// webhookRow is a webhook in the table.
type webhookRow struct {
	bun.BaseModel `bun:"table:webhook,alias:webhook"`

	ID          string    `bun:"id,pk"`
	Tenant      string    `bun:"tenant"`
	URL         string    `bun:"url"`
	Secret      string    `bun:"secret"`
	OldSecret   string    `bun:"old_secret,nullzero"`
	OldUntil    time.Time `bun:"old_until,nullzero"`
	Events      string    `bun:"events"`
	Description string    `bun:"description"`
	Enabled     bool      `bun:"enabled"`
	Disabled    string    `bun:"disabled,nullzero"`
	CreatedAt   time.Time `bun:"created_at"`
	UpdatedAt   time.Time `bun:"updated_at"`
}

func newWebhookRow(w *completion.Webhook) *webhookRow {
	return &webhookRow{
		ID: text(w.ID), Tenant: text(w.Tenant), URL: text(w.URL), Secret: text(w.Secret), OldSecret: text(w.OldSecret), OldUntil: stamp(w.OldUntil),
		Events: text(strings.Join(w.Events, " ")), Description: text(w.Description), Enabled: w.Enabled, Disabled: text(w.Disabled),
		CreatedAt: stamp(w.CreatedAt), UpdatedAt: stamp(w.UpdatedAt),
	}
}

func (r *webhookRow) webhook() completion.Webhook {
	return completion.Webhook{
		ID: r.ID, Tenant: r.Tenant, URL: r.URL, Secret: r.Secret, OldSecret: r.OldSecret, OldUntil: stamp(r.OldUntil),
		Events: strings.Fields(r.Events), Description: r.Description, Enabled: r.Enabled, Disabled: r.Disabled,
		CreatedAt: stamp(r.CreatedAt), UpdatedAt: stamp(r.UpdatedAt),
	}
}

// AddWebhook stores a new webhook, and answers with completion.CodeTooManyWebhooks if the tenant has as many as it may.
// Callers that add at the same moment may make one more each.
func (s *Store) AddWebhook(ctx context.Context, w completion.Webhook) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	n, err := s.db.NewSelect().Model((*webhookRow)(nil)).Where("tenant = ?", text(w.Tenant)).Count(ctx)
	switch {
	case err != nil:
	case n >= completion.MaxWebhooks:
		err = completion.NewError(completion.CodeTooManyWebhooks, "")
	default:
		_, err = s.db.NewInsert().Model(newWebhookRow(&w)).Exec(ctx)
	}
	return wrap(err, "add webhook %s", w.ID)
}

// Webhooks lists a tenant's webhooks, the oldest first.
func (s *Store) Webhooks(ctx context.Context, tenant string) ([]completion.Webhook, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []webhookRow
	if err := s.db.NewSelect().Model(&rows).Where("tenant = ?", text(tenant)).OrderExpr("id ASC").Scan(ctx); err != nil {
		return nil, wrap(err, "list webhooks")
	}
	return webhooks(rows), nil
}

func webhooks(rows []webhookRow) []completion.Webhook {
	list := make([]completion.Webhook, 0, len(rows))
	for i := range rows {
		list = append(list, rows[i].webhook())
	}
	return list
}

// Webhook reads a webhook. completion.ErrNotFound: the tenant has no such one.
func (s *Store) Webhook(ctx context.Context, tenant, id string) (completion.Webhook, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := webhookRow{}
	err := s.db.NewSelect().Model(&row).Where("id = ?", text(id)).Where("tenant = ?", text(tenant)).Scan(ctx)
	if err != nil {
		return completion.Webhook{}, wrap(missing(err), "read webhook %s", id)
	}
	return row.webhook(), nil
}

// ChangeWebhook applies change to a webhook and returns it as it is then; nobody else changes it meanwhile.
// completion.ErrNotFound: the tenant has no such one. An error of change is returned, and nothing was written.
func (s *Store) ChangeWebhook(ctx context.Context, tenant, id string, at time.Time, change func(*completion.Webhook) error) (completion.Webhook, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var changed completion.Webhook
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		row := webhookRow{}
		query := tx.NewSelect().Model(&row).Where("id = ?", text(id)).Where("tenant = ?", text(tenant))
		if err := s.lock(query, "UPDATE").Scan(ctx); err != nil {
			return missing(err)
		}
		changed = row.webhook()
		if err := change(&changed); err != nil {
			return err
		}
		changed.UpdatedAt = stamp(at)
		_, err := tx.NewUpdate().Model(newWebhookRow(&changed)).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return completion.Webhook{}, wrap(err, "change webhook %s", id)
	}
	return changed, nil
}

// DeleteWebhook deletes a webhook and its deliveries. completion.ErrNotFound: the tenant has no such one.
func (s *Store) DeleteWebhook(ctx context.Context, tenant, id string) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	err := affected(s.db.NewDelete().Model((*webhookRow)(nil)).Where("id = ?", text(id)).Where("tenant = ?", text(tenant)).Exec(ctx))
	if errors.Is(err, sql.ErrNoRows) {
		err = completion.ErrNotFound
	}
	return wrap(err, "delete webhook %s", id)
}
