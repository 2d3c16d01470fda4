package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"

	"sluice/shared/embedded"
	"sluice/shared/store"
)

// operator is a command for who runs the installation: it works on the database itself, and so needs no key.
type operator struct {
	DatabaseURL string `name:"database-url" env:"SLUICE_DATABASE_URL" secret:"url" placeholder:"URL" help:"PostgreSQL of the installation; without it the all-in-one's database in the data folder is meant."`
	DataDir     string `env:"SLUICE_DATA_DIR" default:"./data" help:"The all-in-one's data folder."`
}

// with runs do on the store.
func (o operator) with(do func(*store.Store) error) error {
	return o.under(store.Options{}, do)
}

func (o operator) under(options store.Options, do func(*store.Store) error) (err error) {
	db, err := o.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(store.New(db, options))
}

func (o operator) open() (*bun.DB, error) {
	if o.DatabaseURL != "" {
		db, err := store.OpenPostgres(o.DatabaseURL)
		if err != nil {
			return nil, fmt.Errorf("SLUICE_DATABASE_URL: %w", err)
		}
		return db, nil
	}
	path := filepath.Join(o.DataDir, "sluice.db")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("no database: set SLUICE_DATABASE_URL, or SLUICE_DATA_DIR to the folder of an all-in-one that has run: %w", err)
	}
	return embedded.OpenSQLite(path)
}
