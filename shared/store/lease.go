package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"sluice/shared/completion"
)

// Lease is work that one process at a time does, now and then.
type Lease struct {
	Name   string        // of the work
	Holder string        // who does it, a name that no other process has
	TTL    time.Duration // others may take the work on when nothing was heard of the holder for so long
}

// TakeLease takes the work on, or goes on with it, and reports whether it is the caller's now: not if another holds it, and
// not before it is due, unless that shall not matter (early).
func (s *Store) TakeLease(ctx context.Context, l Lease, at time.Time, early bool) (taken bool, err error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	due := "lease.next_at <= ?2"
	if early {
		due = "TRUE"
	}
	result, err := s.db.NewRaw("INSERT INTO lease (name, holder, held_until, next_at) VALUES (?0, ?1, ?3, ?2) ON CONFLICT (name) DO UPDATE "+
		"SET holder = EXCLUDED.holder, held_until = EXCLUDED.held_until "+
		"WHERE (lease.holder IN ('', ?1) OR lease.held_until <= ?2) AND (lease.holder = ?1 OR "+due+")",
		text(l.Name), text(l.Holder), stamp(at), stamp(at.Add(l.TTL))).Exec(ctx)
	if err = affected(result, err); errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, wrap(err, "take lease %s", l.Name)
}

// LeaveLease gives work back that the caller holds, and says when it is due again.
func (s *Store) LeaveLease(ctx context.Context, l Lease, next time.Time) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	_, err := s.db.NewRaw("UPDATE lease SET holder = '', next_at = ? WHERE name = ? AND holder = ?", stamp(next), text(l.Name), text(l.Holder)).Exec(ctx)
	return wrap(err, "leave lease %s", l.Name)
}

// leased runs f in a transaction that the holder of l alone may make. completion.ErrStale: another has taken the work on.
func (s *Store) leased(ctx context.Context, l Lease, at time.Time, f func(ctx context.Context, tx bun.Tx) error) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := affected(tx.NewRaw("UPDATE lease SET held_until = ? WHERE name = ? AND holder = ?", stamp(at.Add(l.TTL)), text(l.Name), text(l.Holder)).Exec(ctx))
		if errors.Is(err, sql.ErrNoRows) {
			return completion.ErrStale
		}
		if err != nil {
			return err
		}
		return f(ctx, tx)
	})
}
