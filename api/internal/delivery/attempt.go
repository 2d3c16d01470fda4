package delivery

import (
	"context"
	"errors"
	"time"

	"sluice/shared/completion"
)

// attempt sends a delivery, unless it was sent or deleted since it was handed out, and stores what came of it.
func (d *Dispatcher) attempt(ctx context.Context, n note) error {
	hook, err := d.store.Webhook(ctx, n.Tenant, n.Webhook)
	switch {
	case errors.Is(err, completion.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !hook.Enabled:
		return nil
	}
	now := time.Now()
	sent, err := d.store.StartDelivery(ctx, n.Tenant, n.Delivery, n.After, now, now.Add(d.cfg.Timeout+margin))
	switch {
	case errors.Is(err, completion.ErrStale):
		return nil
	case err != nil:
		return err
	}
	a := d.send(ctx, &hook, &sent)
	ctx = context.WithoutCancel(ctx)
	sent = a.apply(sent, time.Now())
	d.log.Debug("delivery sent", "tenant", n.Tenant, "delivery_id", n.Delivery, "attempt", sent.Attempts, "status", a.status, "state", sent.State, "error", a.err)
	if a.gone() {
		err = d.disable(ctx, &hook)
	}
	return errors.Join(err, d.store.EndDelivery(ctx, sent))
}

// disable ends a webhook whose receiver is gone, unless it was given another address meanwhile.
func (d *Dispatcher) disable(ctx context.Context, hook *completion.Webhook) error {
	_, err := d.store.ChangeWebhook(ctx, hook.Tenant, hook.ID, time.Now(), func(w *completion.Webhook) error {
		if w.URL == hook.URL {
			w.Enabled, w.Disabled = false, "The receiver answered 410 Gone."
		}
		return nil
	})
	if errors.Is(err, completion.ErrNotFound) {
		return nil
	}
	return err
}
