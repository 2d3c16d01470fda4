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
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/migrate"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Migration is one version of the schema.
type Migration struct {
	Name      string    // its number and what it is about; the number alone if Newer
	AppliedAt time.Time // zero: not applied
	Newer     bool      // a newer release has applied it, this one does not know it
}

var (
	// ErrBehind means that the database lacks migrations which this release needs.
	ErrBehind = errors.New("the database lacks migrations, run migrate up")
	// ErrAhead means that a newer release has migrated the database.
	ErrAhead = errors.New("the database has migrations of a newer release")
)

// Check compares the schema with this release's, and changes nothing. ErrBehind: this release cannot work with it yet.
// ErrAhead: it can, as long as the newer release is the next one, which takes nothing away that this one uses; see
// deployments/docs/upgrades.md. Both errors name the migrations.
func Check(ctx context.Context, db *bun.DB) error {
	m, err := migrator(db)
	if err != nil {
		return err
	}
	list, err := read(ctx, m)
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == undefinedTable {
		return fmt.Errorf("%w: all of them", ErrBehind)
	}
	if err != nil {
		return fmt.Errorf("check migrations: %w", err)
	}
	var behind, ahead []string
	for _, one := range list {
		switch {
		case one.Newer:
			ahead = append(ahead, one.Name)
		case one.AppliedAt.IsZero():
			behind = append(behind, one.Name)
		}
	}
	switch {
	case len(behind) > 0:
		return fmt.Errorf("%w: %s", ErrBehind, strings.Join(behind, ", "))
	case len(ahead) > 0:
		return fmt.Errorf("%w: %s", ErrAhead, strings.Join(ahead, ", "))
	}
	return nil
}

// undefinedTable is what PostgreSQL says of a database that was never migrated.
const undefinedTable = "42P01"

// read lists this release's migrations, and behind them those of a newer one.
func read(ctx context.Context, m *migrate.Migrator) ([]Migration, error) {
	all, err := m.MigrationsWithStatus(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Migration, 0, len(all))
	for _, one := range all {
		list = append(list, Migration{Name: one.String(), AppliedAt: one.MigratedAt})
	}
	newer, err := m.MissingMigrations(ctx)
	for _, one := range newer {
		list = append(list, Migration{Name: one.Name, AppliedAt: one.MigratedAt, Newer: true})
	}
	slices.SortFunc(list[len(all):], func(a, b Migration) int { return strings.Compare(a.Name, b.Name) })
	return list, err
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

// Down takes back the migrations that were applied together last, and returns their names. ErrAhead: a newer release has
// applied some, which only that one can take back.
func Down(ctx context.Context, db *bun.DB) ([]string, error) {
	var names []string
	err := locked(ctx, db, func(m *migrate.Migrator) error {
		newer, err := m.MissingMigrations(ctx)
		if err != nil {
			return err
		}
		if len(newer) > 0 {
			return fmt.Errorf("%w: take them back with its migrate", ErrAhead)
		}
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

// Status lists all migrations, the oldest first, and then those of a newer release.
func Status(ctx context.Context, db *bun.DB) ([]Migration, error) {
	var list []Migration
	err := locked(ctx, db, func(m *migrate.Migrator) (err error) {
		list, err = read(ctx, m)
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
