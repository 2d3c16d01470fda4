package api

import (
	"context"

	"sluice/api/internal/conductor"
	"sluice/shared/completion"
)

// conduct looks after batches until ctx ends.
func (a *API) conduct(ctx context.Context) error {
	return conductor.New(conductor.Parts{
		Store: &counted{Store: a.back.Store, accepted: a.accepted, meter: a.meter, known: map[completion.Ref]completion.Counts{}}, Queue: a.back.Queue, Events: a.back.Log, Bell: a.back.Bell, Files: a.blobs,
		Models: a.core.models,
		Limits: a.back.Limit, Log: a.log,
	}, conductor.Config{}).Run(ctx)
}
