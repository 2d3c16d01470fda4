// Package store keeps jobs, batches, conversations and what is known of files in PostgreSQL or SQLite, through bun. It is the
// truth: queue and event log can be rebuilt from it.
//
// It promises that what the domain forbids is not written: each state change is one statement guarded by the states it
// may leave and, for attempts, by the attempt's number (I5). What a conversation does is one transaction that has it to
// itself (Converse), and the database itself allows it no two turns under way and no two messages with one seq. Requests,
// metadata, results, usage, errors and what was said are JSON text stored as bytes, so they come back byte for byte; names
// (model, finish reason, owner and the like) are text columns, where U+FFFD stands for U+0000 and for broken UTF-8. A database
// that is away is answered with a service_unavailable *completion.Error; no call takes longer than Options.Limit.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"sluice/shared/completion"
)

// Options of a Store. Zero values mean the defaults.
type Options struct {
	WorkerTTL time.Duration // a worker not seen for this long is dead; default 8 s
	Limit     time.Duration // longest that one call may take; default 10 s
}

// DefaultWorkerTTL is Options.WorkerTTL's.
const DefaultWorkerTTL = 8 * time.Second

// Store is safe for concurrent use, by any number of processes.
type Store struct {
	db    *bun.DB
	opts  Options
	gates gates
}

// New returns a Store over db, whose schema package migrations makes.
func New(db *bun.DB, o Options) *Store {
	if o.WorkerTTL <= 0 {
		o.WorkerTTL = DefaultWorkerTTL
	}
	if o.Limit <= 0 {
		o.Limit = 10 * time.Second
	}
	return &Store{db: db, opts: o}
}

// maxConns is how many connections one process holds at most; more would only queue in PostgreSQL.
const maxConns = 16

// OpenPostgres returns a pool of connections to the PostgreSQL at url. It connects when it is first used.
func OpenPostgres(url string) (*bun.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database address: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// bun writes values into the statement, quoted for these two settings, whatever the server's defaults are.
	config.RuntimeParams["standard_conforming_strings"], config.RuntimeParams["client_encoding"] = "on", "UTF8"
	// Each statement is a new text, therefore: preparing it would cost a round trip and fill caches. updateMany asks for another mode.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(time.Hour) // so that a failover or a new address is found without a restart
	// A newer release's migrations may have added columns.
	return bun.NewDB(pool, pgdialect.New(), bun.WithDiscardUnknownColumns()), nil
}

// Ping reports whether jobs can be read, which takes a database that answers and a schema that is there.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	if _, err := s.db.ExecContext(ctx, "SELECT id FROM job LIMIT 1"); err != nil {
		return fmt.Errorf("ping store: %w", away(err))
	}
	return nil
}

// Connections tells how many there are to the database.
func (s *Store) Connections() sql.DBStats { return s.db.Stats() }

func (s *Store) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.Limit)
}

// Get reads one job. completion.ErrNotFound: there is none, or it is another tenant's (I8).
func (s *Store) Get(ctx context.Context, ref completion.Ref) (completion.Job, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	row := jobRow{}
	err := s.db.NewSelect().Model(&row).Where("id = ?", text(ref.Job)).Where("tenant = ?", text(ref.Tenant)).Scan(ctx)
	if err != nil {
		return completion.Job{}, fmt.Errorf("read job %s: %w", ref.Job, missing(err))
	}
	return row.job()
}

// missing names the absence of a row as the domain does.
func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return completion.ErrNotFound
	}
	return away(err)
}
