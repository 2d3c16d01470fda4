package migrations

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Program is the command migrate, against PostgreSQL.
type Program struct {
	Version     kong.VersionFlag `help:"Print the version."`
	DatabaseURL string           `name:"database-url" env:"SLUICE_DATABASE_URL" required:"" xor:"database" placeholder:"URL" help:"PostgreSQL: postgres://user:password@host:5432/name."`
	// DatabaseURLFile is how container engines, Kubernetes and systemd hand secrets out.
	DatabaseURLFile string `name:"database-url-file" env:"SLUICE_DATABASE_URL_FILE" required:"" xor:"database" placeholder:"FILE" help:"A file with that address alone."`

	Up     struct{} `cmd:"" help:"Apply all migrations that are not applied yet."`
	Down   struct{} `cmd:"" help:"Take back the migrations that were applied together last; their data is lost."`
	Status struct{} `cmd:"" help:"List all migrations."`
	Wait   Waiting  `cmd:"" help:"Wait until all migrations are applied, by another process; for programs that start beside it."`
}

// Waiting is the command wait.
type Waiting struct {
	Limit time.Duration `default:"10m" help:"Longest to wait, for the server too."`
}

// connectLimit bounds the first contact with the server.
const connectLimit = 10 * time.Second

// Start runs the command called name and tells w what it did.
func (p *Program) Start(ctx context.Context, name string, w io.Writer) error {
	address, err := p.address()
	if err != nil {
		return err
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return fmt.Errorf("SLUICE_DATABASE_URL: %w", err)
	}
	db := bun.NewDB(stdlib.OpenDB(*config), pgdialect.New())
	defer db.Close()
	if name == "wait" {
		return wait(ctx, db, p.Wait.Limit, w)
	}
	if err := ping(ctx, db.DB); err != nil {
		return fmt.Errorf("PostgreSQL at %s:%d cannot be reached: %w", config.Host, config.Port, err)
	}
	switch name {
	case "up":
		names, err := Up(ctx, db)
		return report(w, "applied", names, err)
	case "down":
		names, err := Down(ctx, db)
		return report(w, "took back", names, err)
	default:
		return status(ctx, db, w)
	}
}

// waitInterval is the pause between two looks for what is missing.
const waitInterval = time.Second

// wait looks until nothing is missing, and tells w whenever it waits for something else than before.
func wait(ctx context.Context, db *bun.DB, limit time.Duration, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for told := ""; ; {
		reason := unready(ctx, db)
		if reason == "" {
			fmt.Fprintln(w, "all migrations are applied")
			return nil
		}
		if ctx.Err() == nil && reason != told {
			fmt.Fprintln(w, "waiting:", reason)
			told = reason
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %s", limit, cmp.Or(told, reason))
		case <-time.After(waitInterval):
		}
	}
}

// unready says why the schema is not up to date; empty: it is.
func unready(ctx context.Context, db *bun.DB) string {
	missing, err := Missing(ctx, db)
	switch {
	case err != nil:
		return err.Error()
	case len(missing) > 0:
		return fmt.Sprintf("%d migrations are not applied, the first is %s", len(missing), missing[0])
	default:
		return ""
	}
}

// address is the database's, from where it is given.
func (p *Program) address() (string, error) {
	if p.DatabaseURLFile == "" {
		return p.DatabaseURL, nil
	}
	text, err := os.ReadFile(p.DatabaseURLFile)
	if err != nil {
		return "", fmt.Errorf("SLUICE_DATABASE_URL_FILE: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func ping(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	return db.PingContext(ctx)
}

func report(w io.Writer, verb string, names []string, err error) error {
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(w, verb, name)
	}
	if len(names) == 0 {
		fmt.Fprintln(w, "nothing to do")
	}
	return nil
}

func status(ctx context.Context, db *bun.DB, w io.Writer) error {
	list, err := Status(ctx, db)
	if err != nil {
		return err
	}
	for _, m := range list {
		applied := "not applied"
		if !m.AppliedAt.IsZero() {
			applied = "applied " + m.AppliedAt.UTC().Format(time.RFC3339)
		}
		if m.Newer {
			applied += " by a newer release"
		}
		fmt.Fprintf(w, "%s  %s\n", m.Name, applied)
	}
	return nil
}
