package api

import (
	"context"

	"sluice/shared/pruner"
)

// prune deletes what is old until ctx ends.
func (a *API) prune(ctx context.Context) error {
	return pruner.New(pruner.Parts{Store: a.back.Store, Log: a.back.Log, EventAge: a.back.EventAge, Logger: a.log}, a.config.Retention).Run(ctx)
}
