package api

import (
	"context"

	"sluice/shared/pruner"
	"sluice/shared/store"
)

// prune deletes what is old until ctx ends.
func (a *API) prune(ctx context.Context) error {
	return pruner.New(pruner.Parts{
		Store: a.back.Store, Log: a.back.Log, EventAge: a.back.EventAge, Logger: a.log, Pruned: a.pruned,
	}, a.config.Retention).Run(ctx)
}

// pruned counts what was deleted. Files are counted when their content is gone, too.
func (a *API) pruned(kind store.Kind, rows int) {
	if kind != store.KindFiles {
		a.meter.Pruned(string(kind), rows)
	}
}
