package store

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// keyRow is an API key in the table.
type keyRow struct {
	bun.BaseModel `bun:"table:api_key,alias:api_key"`

	ID         string    `bun:"id,pk"`
	Tenant     string    `bun:"tenant"`
	Name       string    `bun:"name"`
	Hash       string    `bun:"hash"`
	Hint       string    `bun:"hint"`
	Scopes     string    `bun:"scopes"`
	CreatedAt  time.Time `bun:"created_at"`
	ExpiresAt  time.Time `bun:"expires_at,nullzero"`
	RevokedAt  time.Time `bun:"revoked_at,nullzero"`
	LastUsedAt time.Time `bun:"last_used_at,nullzero"`
}

func newKeyRow(k completion.Key) *keyRow {
	return &keyRow{
		ID: text(k.ID), Tenant: text(k.Tenant), Name: text(k.Name), Hash: text(k.Hash), Hint: text(k.Hint), Scopes: scopeText(k.Scopes),
		CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt), RevokedAt: stamp(k.RevokedAt), LastUsedAt: stamp(k.LastUsedAt),
	}
}

func scopeText(scopes []completion.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return text(strings.Join(names, " "))
}

func (r *keyRow) key() completion.Key {
	k := completion.Key{
		ID: r.ID, Tenant: r.Tenant, Name: r.Name, Hash: r.Hash, Hint: r.Hint,
		CreatedAt: stamp(r.CreatedAt), ExpiresAt: stamp(r.ExpiresAt), RevokedAt: stamp(r.RevokedAt), LastUsedAt: stamp(r.LastUsedAt),
	}
	for _, s := range strings.Fields(r.Scopes) {
		k.Scopes = append(k.Scopes, completion.Scope(s))
	}
	return k
}

// AddKey stores a new key.
func (s *Store) AddKey(ctx context.Context, k completion.Key) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewInsert().Model(newKeyRow(k)).Exec(ctx)
	return wrap(err, "add key %s", k.ID)
}

// Keys lists a tenant's keys, or all tenants' if it is empty, the oldest first, revoked and expired ones too.
func (s *Store) Keys(ctx context.Context, tenant string) ([]completion.Key, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var rows []keyRow
	query := s.db.NewSelect().Model(&rows).OrderExpr("id ASC")
	if tenant != "" {
		query = query.Where("tenant = ?", text(tenant))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, wrap(err, "list keys")
	}
	keys := make([]completion.Key, 0, len(rows))
	for i := range rows {
		keys = append(keys, rows[i].key())
	}
	return keys, nil
}

// UseKey reads the key with that hash and notes that it was used. completion.ErrNotFound: there is none. The caller asks
// whether it is Usable.
func (s *Store) UseKey(ctx context.Context, hash string, at time.Time) (completion.Key, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := keyRow{}
	err := s.db.NewUpdate().Model(&row).Set("last_used_at = ?", stamp(at)).Where("hash = ?", text(hash)).Returning("*").Scan(ctx)
	if err != nil {
		return completion.Key{}, wrap(missing(err), "use a key")
	}
	return row.key(), nil
}

// GrantKey gives a key these scopes instead of those it has. completion.ErrNotFound: there is no such key.
func (s *Store) GrantKey(ctx context.Context, id string, scopes []completion.Scope) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	err := affected(s.db.NewUpdate().Model((*keyRow)(nil)).Set("scopes = ?", scopeText(scopes)).Where("id = ?", text(id)).Exec(ctx))
	return wrap(missing(err), "grant scopes to key %s", id)
}

// RevokeKey ends a key of the tenant, for good; to revoke it again changes nothing. completion.ErrNotFound: the tenant has
// no such key.
func (s *Store) RevokeKey(ctx context.Context, tenant, id string, at time.Time) (completion.Key, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := keyRow{}
	err := s.db.NewUpdate().Model(&row).Set("revoked_at = COALESCE(revoked_at, ?)", stamp(at)).
		Where("id = ?", text(id)).Where("tenant = ?", text(tenant)).Returning("*").Scan(ctx)
	if err != nil {
		return completion.Key{}, wrap(missing(err), "revoke key %s", id)
	}
	return row.key(), nil
}
