package api

import (
	"context"
	"fmt"

	"sluice/api/internal/request"
	"sluice/api/internal/talk"
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

// keep looks after conversations until ctx ends.
func (a *API) keep(ctx context.Context) error {
	keeper := &talk.Keeper{Host: a.core.host, Ends: a.back.Store, Ears: a.back.Bell, Log: a.back.Log, Names: a.config.ChatNaming != "off"}
	return keeper.Run(ctx)
}
