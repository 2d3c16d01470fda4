package api

import (
	"context"

	"sluice/api/internal/catalog"
	"sluice/api/internal/conductor"
)

// conduct looks after batches until ctx ends.
func (a *API) conduct(ctx context.Context) error {
	return conductor.New(conductor.Parts{
		Store: counted{a.back.Store, a.counter.Add}, Queue: a.back.Queue, Events: a.back.Log, Bell: a.back.Bell, Files: a.blobs,
		Models: catalog.New(a.back.Store, a.config.UnknownModels == PassUnknown),
		Limits: a.back.Limit, Log: a.log,
	}, conductor.Config{}).Run(ctx)
}
