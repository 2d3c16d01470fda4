package backend

import (
	"context"
	"errors"
	"log/slog"

	"sluice/migrations"
	"sluice/shared/completion"
)

// AwaitSchema waits up to half a minute until the database has all migrations that this release knows. Its error names
// those that are missing, and what to do. A newer release's are no fault, see migrations.ErrAhead.
func (b *Backend) AwaitSchema(ctx context.Context, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err := insist(ctx, "the migrations", log, b.schema)
	if errors.Is(err, migrations.ErrBehind) {
		return errors.Unwrap(err) // it says itself what is wrong
	}
	return err
}

// schema checks that no migration is missing.
func (b *Backend) schema(ctx context.Context) error {
	if err := migrations.Check(ctx, b.db); !errors.Is(err, migrations.ErrAhead) {
		return err
	}
	return nil
}

func (b *Backend) schemaReady(ctx context.Context) error {
	if err := b.schema(ctx); err != nil {
		return completion.NewError(completion.CodeUnavailable, "The database lacks migrations: run migrate up.").Because(err)
	}
	return nil
}
