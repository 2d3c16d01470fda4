package standalone

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/uptrace/bun"

	"sluice/migrations"
	"sluice/shared/embedded"
)

// database is the file of the database, in the data folder.
const database = "sluice.db"

// lock makes the data folder and holds it for this process alone, until it is unlocked.
func lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, blame(dir, fmt.Errorf("make it: %w", err))
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, blame(dir, fmt.Errorf("lock it: %w", err))
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s is in use by another sluice (set SLUICE_DATA_DIR to use another): %w", dir, err), f.Close())
	}
	return f.Close, nil
}

// openData opens the database in the data folder and brings its schema to that of this program, which is silent: the data
// of any older version can be read.
func openData(ctx context.Context, dir string) (*bun.DB, error) {
	db, err := embedded.OpenSQLite(filepath.Join(dir, database))
	if err != nil {
		return nil, blame(dir, err)
	}
	if err := known(ctx, db, dir); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if _, err := migrations.Up(ctx, db); err != nil {
		return nil, errors.Join(blame(dir, err), db.Close())
	}
	return db, nil
}

// known refuses a schema that a newer program has made: this one would write what that one does not expect.
func known(ctx context.Context, db *bun.DB, dir string) error {
	unknown, err := migrations.Unknown(ctx, db)
	if err != nil {
		return blame(dir, err)
	}
	if len(unknown) > 0 {
		return fmt.Errorf("data folder %s was written by a newer sluice (its schema has %s): start that version or a newer one, or set SLUICE_DATA_DIR to use another folder",
			dir, strings.Join(unknown, ", "))
	}
	return nil
}

// CheckData says what is wrong with a data folder for a sluice up that would start with it, and otherwise how it is. It
// leaves everything as it is, and does not disturb a sluice that runs on it.
func CheckData(ctx context.Context, dir string) (found string, err error) {
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return dir + " is not there; sluice up makes it", nil
	} else if err == nil && !info.IsDir() {
		return "", blame(dir, syscall.ENOTDIR)
	}
	f, err := os.CreateTemp(dir, "doctor-")
	if err != nil {
		return "", blame(dir, err)
	}
	_, err = f.Write(make([]byte, 1<<20))
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return "", blame(dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, database)); errors.Is(err, fs.ErrNotExist) {
		return dir + " is empty; sluice up fills it", nil
	}
	db, err := embedded.OpenSQLite(filepath.Join(dir, database))
	if err != nil {
		return "", blame(dir, err)
	}
	if err := errors.Join(known(ctx, db, dir), db.Close()); err != nil {
		return "", err
	}
	return dir + " can be used", nil
}

// SQLite's primary result codes that are no fault of the program.
const (
	sqliteReadOnly = 8
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// blame makes one sentence of an error that is the data folder's, with what to do about it.
func blame(dir string, err error) error {
	code := 0
	var sqlite interface{ Code() int }
	if errors.As(err, &sqlite) {
		code = sqlite.Code() & 0xff
	}
	other := "or set SLUICE_DATA_DIR to use another folder"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), code == sqliteFull:
		return fmt.Errorf("the disk with data folder %s is full: free some space, %s: %w", dir, other, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), code == sqliteReadOnly, code == sqliteCantOpen:
		return fmt.Errorf("data folder %s cannot be written: let this user write there, %s: %w", dir, other, err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("data folder %s is not a folder: remove what is there, %s: %w", dir, other, err)
	case code == sqliteNotADB, code == sqliteCorrupt:
		return fmt.Errorf("%s is damaged, or no database: put a backup in its place, %s: %w", filepath.Join(dir, database), other, err)
	default:
		return fmt.Errorf("data folder %s: %w", dir, err)
	}
}
