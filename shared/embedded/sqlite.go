package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the driver
)

// OpenSQLite opens, or makes, the database file at path. Writes are logged ahead and survive a killed process (WAL with
// synchronous NORMAL; a power failure may lose the last ones). Connections wait up to 10 s for each other.
func OpenSQLite(path string) (*bun.DB, error) {
	options := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)", "foreign_keys(1)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+options.Encode())
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; waiting in Go is fair, waiting in its busy handler is not
	if err := db.PingContext(context.Background()); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, errors.Join(err, db.Close()))
	}
	return bun.NewDB(db, sqlitedialect.New(), bun.WithDiscardUnknownColumns()), nil // a newer release may have added some
}
