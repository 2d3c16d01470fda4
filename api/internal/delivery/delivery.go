// Package delivery tells webhooks what has happened.
//
// Whatever happens writes a notice to the store's outbox, in the transaction in which it happens. A Dispatcher makes a
// delivery of each notice for each webhook that wants it, puts the deliveries that are due on an Asynq queue, takes them from
// there and sends them, signed as Standard Webhooks (https://www.standardwebhooks.com). Any number of processes run one.
//
// What it promises: a notice reaches each webhook at least once, or is tried for 72 hours, whichever process dies in
// between, Redis with all of its data included. A receiver knows a repetition by the header webhook-id. Notices come in no
// particular order. A receiver that does not answer delays its own tenant only, up to that tenant's share.
//
// When to send again is kept in the store, not in Asynq: a retry hours from now would be lost with Redis, and would have to
// be looked up in the store all the same. So the queue holds only what is to be sent now. It spreads that over the processes, and
// bounds what each sends at once. A delivery is held while it is in the queue or being sent; a hold that nobody ends
// lapses, and the delivery is handed out again. Each hand-out is a task of its own, for Asynq may keep an old one for
// minutes after a crash; the number of the attempt decides which of them sends.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// Config of the deliveries of one process.
type Config struct {
	Private string        `name:"webhook-private" env:"SLUICE_WEBHOOK_PRIVATE" default:"refuse" enum:"allow,refuse" help:"refuse: webhooks reach public addresses only, by https. allow: any address, and http too; for receivers beside Sluice."`
	Timeout time.Duration `name:"webhook-timeout" env:"SLUICE_WEBHOOK_TIMEOUT" default:"15s" help:"Longest that the receiver of a webhook may take to answer. From 1s to 1m."`
	Slots   int           `name:"webhook-slots" env:"SLUICE_WEBHOOK_SLOTS" default:"16" help:"Webhooks that are sent at once. 0: this process sends none."`
}

const (
	minTimeout = time.Second
	maxTimeout = time.Minute
)

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var err error
	if c.Slots < 0 {
		err = errors.Join(err, fmt.Errorf("webhook slots %d: want 0 or more", c.Slots))
	}
	if c.Slots > 0 && (c.Timeout < minTimeout || c.Timeout > maxTimeout) {
		err = errors.Join(err, fmt.Errorf("webhook timeout %s: want %s to %s", c.Timeout, minTimeout, maxTimeout))
	}
	return err
}

// AllowPrivate reports whether any address may be reached.
func (c Config) AllowPrivate() bool { return c.Private == "allow" }

// Store keeps webhooks, notices and deliveries.
type Store interface {
	FanOut(ctx context.Context, at time.Time, limit int) (taken int, err error)
	HandOut(ctx context.Context, at, until time.Time, share store.Share) ([]completion.Delivery, error)
	StartDelivery(ctx context.Context, tenant, id string, after int, at, until time.Time) (completion.Delivery, error)
	EndDelivery(ctx context.Context, d completion.Delivery) error
	GiveUpDeliveries(ctx context.Context, at time.Time) error
	Webhook(ctx context.Context, tenant, id string) (completion.Webhook, error)
	ChangeWebhook(ctx context.Context, tenant, id string, at time.Time, change func(*completion.Webhook) error) (completion.Webhook, error)
}
