package api

import (
	"context"

	"sluice/shared/pruner"
	"sluice/shared/store"
)

// prune deletes what is old until ctx ends.
func (a *API) prune(ctx context.Context) error {
	return pruner.New(pruner.Parts{Store: a.back.Store, Log: a.back.Log, EventAge: a.back.EventAge, Pruned: a.pruned, Logger: a.log}, a.config.Retention).Run(ctx)
}

// pruned counts rows that were deleted.
func (a *API) pruned(kind store.Kind, rows int) { a.meter.Pruned(string(kind), rows) }
