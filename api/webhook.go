package api

import (
	"context"
	"errors"
	"fmt"

	"sluice/api/internal/delivery"
)

// deliver sends webhooks until ctx ends, over Redis connections of its own.
func (a *API) deliver(ctx context.Context) (err error) {
	c := a.config.Webhooks
	if c.Slots == 0 {
		return nil
	}
	rc, err := a.back.Redis(c.Slots)
	if err != nil {
		return fmt.Errorf("connect to Redis: %w", err)
	}
	defer func() { err = errors.Join(err, rc.Close()) }()
	return delivery.New(observed{a.back.Store, a.meter}, rc, c, a.log).Run(ctx)
}
