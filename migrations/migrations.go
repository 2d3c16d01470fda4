// Package migrations is the database schema: the same versions for PostgreSQL and for SQLite, applied with bun. It
// imports nothing of Sluice.
//
// A migration runs in a transaction of its own and is recorded once it has succeeded; a process that dies between the two
// leaves one that runs again, so each may be repeated (IF NOT EXISTS). Processes that migrate at the same time wait for
// each other; one that dies in the middle blocks nobody.
package migrations

import (
	"context"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/migrate"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Migration is one version of the schema.
type Migration struct {
	Name      string
	AppliedAt time.Time // zero: not applied
}

// Up applies all migrations that are not applied yet, and returns the names of those it applied.
func Up(ctx context.Context, db *bun.DB) ([]string, error) {
	var names []string
	err := locked(ctx, db, func(m *migrate.Migrator) error {
		group, err := m.Migrate(ctx)
		if err == nil {
			names = named(group)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("migrate up: %w", err)
	}
	return names, nil
}

// Down takes back the migrations that were applied together last, and returns their names.
func Down(ctx context.Context, db *bun.DB) ([]string, error) {
	var names []string
	err := locked(ctx, db, func(m *migrate.Migrator) error {
		group, err := m.Rollback(ctx)
		if err == nil {
			names = named(group)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("migrate down: %w", err)
	}
	return names, nil
}

// Status lists all migrations, the oldest first.
func Status(ctx context.Context, db *bun.DB) ([]Migration, error) {
	var list []Migration
	err := locked(ctx, db, func(m *migrate.Migrator) error {
		all, err := m.MigrationsWithStatus(ctx)
		for _, one := range all {
			list = append(list, Migration{Name: one.String(), AppliedAt: one.MigratedAt})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return list, nil
}

// Unknown lists the versions that are applied in db and that this program does not have: a newer one has made them.
func Unknown(ctx context.Context, db *bun.DB) ([]string, error) {
	var names []string
	err := locked(ctx, db, func(m *migrate.Migrator) error {
		missing, err := m.MissingMigrations(ctx)
		for _, one := range missing {
			names = append(names, one.Name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return names, nil
}

// Missing returns the names of the migrations that are not applied, the oldest first.
func Missing(ctx context.Context, db *bun.DB) ([]string, error) {
	list, err := Status(ctx, db)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range list {
		if m.AppliedAt.IsZero() {
			names = append(names, m.Name)
		}
	}
	return names, nil
}

func named(group *migrate.MigrationGroup) []string {
	var names []string
	for _, m := range group.Migrations {
		names = append(names, m.String())
	}
	return names
}

// lockKey is the PostgreSQL advisory lock that migrating processes take; the number is arbitrary.
const lockKey = 0x51_75_1c_e0

// locked runs do with the migrator of db's dialect while no other process migrates. SQLite has one process, which locks
// its data folder.
func locked(ctx context.Context, db *bun.DB, do func(*migrate.Migrator) error) (err error) {
	m, err := migrator(db)
	if err != nil {
		return err
	}
	if db.Dialect().Name() == dialect.PG {
		unlock, lockErr := lock(ctx, db)
		if lockErr != nil {
			return lockErr
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	if err := m.Init(ctx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return do(m)
}

// lock waits for its turn among the processes that migrate. The lock belongs to a connection, so that it ends with its
// process, however that ends.
func lock(ctx context.Context, db *bun.DB) (unlock func() error, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(?)", lockKey); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for other migrations: %w", err), conn.Close())
	}
	return func() error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock(?)", lockKey)
		if err != nil { // the pool must not keep a connection that may have the lock
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
			err = fmt.Errorf("let other migrations go on: %w", err)
		}
		return errors.Join(err, conn.Close())
	}, nil
}

func migrator(db *bun.DB) (*migrate.Migrator, error) {
	folder := "postgres"
	if db.Dialect().Name() == dialect.SQLite {
		folder = "sqlite"
	}
	sub, err := fs.Sub(files, folder)
	if err != nil {
		return nil, fmt.Errorf("open %s migrations: %w", folder, err)
	}
	all := migrate.NewMigrations()
	if err := all.Discover(sub); err != nil {
		return nil, fmt.Errorf("read %s migrations: %w", folder, err)
	}
	return migrate.NewMigrator(db, all, migrate.WithMarkAppliedOnSuccess(true)), nil
}
