package api

import (
	"context"
	"fmt"
	"log/slog"

	"sluice/api/internal/catalog"
	"sluice/api/internal/intake"
	"sluice/api/internal/request"
	"sluice/api/internal/talk"
	"sluice/shared/backend"
	"sluice/shared/completion"
)

// preset is what holds for all conversations that say nothing else.
func (c Config) preset() (completion.Preset, error) {
	p, err := request.ParseParameters(c.ChatParameters, "")
	if err != nil {
		return completion.Preset{}, fmt.Errorf("SLUICE_CHAT_PARAMETERS: %w", err)
	}
	return completion.Preset{System: c.ChatSystem, Parameters: p}, nil
}

func (c Config) host(in *intake.Intake, models *catalog.Catalog, back *backend.Backend, log *slog.Logger) (*talk.Host, error) {
	preset, err := c.preset()
	return talk.New(talk.Parts{Store: back.Store, Intake: in, Bell: back.Bell, Models: models, Logger: log, Preset: preset}), err
}

// keep looks after conversations until ctx ends.
func (a *API) keep(ctx context.Context) error {
	host, err := a.config.host(a.config.intake(a.back, a.counter.Add, a.log), catalog.New(a.back.Store, a.config.UnknownModels == PassUnknown), a.back, a.log)
	if err != nil {
		return err
	}
	keeper := &talk.Keeper{Host: host, Ends: a.back.Store, Ears: a.back.Bell, Log: a.back.Log, Names: a.config.ChatNaming != "off"}
	return keeper.Run(ctx)
}
