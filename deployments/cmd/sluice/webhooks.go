package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type webhooksCmd struct {
	Create     webhookCreateCmd     `cmd:"" help:"Register a webhook and print its secret, this once."`
	List       webhookListCmd       `cmd:"" help:"List webhooks, without their secrets."`
	Enable     webhookEnableCmd     `cmd:"" help:"Send to a webhook again."`
	Disable    webhookDisableCmd    `cmd:"" help:"Send nothing to a webhook for now."`
	Delete     webhookDeleteCmd     `cmd:"" help:"Delete a webhook with its deliveries."`
	Rotate     webhookRotateCmd     `cmd:"" help:"Give a webhook a new secret and print it, this once; the old one signs along for a day."`
	Test       webhookTestCmd       `cmd:"" help:"Send an event webhook.test to a webhook."`
	Deliveries webhookDeliveriesCmd `cmd:"" help:"List what was sent to a webhook, newest first."`
	Resend     webhookResendCmd     `cmd:"" help:"Send deliveries again."`
}

// Help is kong's.
func (c *webhooksCmd) Help() string {
	return "Works on the API, with a key that has the scope admin. Events: " + strings.Join(completion.NoticeTypes, ", ") + "; job.* and the like for all of a kind, * for all."
}

// named is a command for one webhook.
type named struct {
	remote
	ID string `arg:"" help:"The webhook's id."`
}

type webhookCreateCmd struct {
	remote
	URL         string   `arg:"" help:"Where to send: https://…"`
	Event       []string `help:"Events to send, separated by commas; all by default."`
	Description string   `help:"A label."`
}

// Run is kong's. The secret alone goes to standard output.
func (c *webhookCreateCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		w, err := api.CreateWebhook(ctx, client.WebhookCreation{URL: c.URL, Events: c.Event, Description: c.Description})
		if err != nil {
			return err
		}
		showSecret(t, w)
		return nil
	})
}

func showSecret(t *terminal, w client.Webhook) {
	fmt.Fprintln(t.out, w.Secret)
	fmt.Fprintf(t.err, "%s sends %s to %s, signed with this secret; it is not shown again\n", w.ID, strings.Join(w.Events, ","), w.URL)
}

type webhookListCmd struct{ remote }

// Run is kong's.
func (c *webhookListCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		all, err := api.Webhooks(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSTATE\tURL\tEVENTS\tCREATED\tDESCRIPTION")
		for _, h := range all {
			state := "enabled"
			if !h.Enabled {
				state = "disabled"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, state, h.URL, strings.Join(h.Events, ","), day(h.CreatedAt), h.Description)
		}
		return w.Flush()
	})
}

type webhookEnableCmd struct{ named }

// Run is kong's.
func (c *webhookEnableCmd) Run(ctx context.Context, t *terminal) error { return c.enable(ctx, t, true) }

type webhookDisableCmd struct{ named }

// Run is kong's.
func (c *webhookDisableCmd) Run(ctx context.Context, t *terminal) error {
	return c.enable(ctx, t, false)
}

func (c named) enable(ctx context.Context, t *terminal, on bool) error {
	return c.with(t, func(api *client.Client) error {
		w, err := api.ChangeWebhook(ctx, c.ID, client.WebhookChange{Enabled: &on})
		if err != nil {
			return err
		}
		state := "enabled"
		if !w.Enabled {
			state = "disabled"
		}
		fmt.Fprintf(t.out, "%s is %s\n", w.ID, state)
		return nil
	})
}

type webhookDeleteCmd struct{ named }

// Run is kong's.
func (c *webhookDeleteCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		if err := api.DeleteWebhook(ctx, c.ID); err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is deleted\n", c.ID)
		return nil
	})
}

type webhookRotateCmd struct{ named }

// Run is kong's. The secret alone goes to standard output.
func (c *webhookRotateCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		w, err := api.RotateWebhook(ctx, c.ID)
		if err != nil {
			return err
		}
		showSecret(t, w)
		return nil
	})
}

type webhookTestCmd struct{ named }

// Run is kong's.
func (c *webhookTestCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		d, err := api.TestWebhook(ctx, c.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is on its way; sluice webhooks deliveries %s shows what becomes of it\n", d.ID, c.ID)
		return nil
	})
}

type webhookDeliveriesCmd struct {
	named
	State completion.DeliveryState `help:"Only deliveries in this state: pending, delivered or failed."`
	Limit int                      `default:"20" help:"At most this many."`
}

// Run is kong's.
func (c *webhookDeliveriesCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSTATE\tTYPE\tATTEMPTS\tSTATUS\tCREATED\tNEXT ATTEMPT\tERROR")
		for q, left := (client.DeliveryQuery{State: c.State}), c.Limit; left > 0; {
			q.Limit = min(left, 100)
			list, more, err := api.Deliveries(ctx, c.ID, q)
			if err != nil {
				return err
			}
			for _, d := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", d.ID, d.State, d.Type, d.Attempts, most(d.LastStatus), day(d.CreatedAt), day(d.NextAttemptAt), d.LastError)
				q.After = d.ID
			}
			if left -= len(list); !more {
				break
			}
		}
		return w.Flush()
	})
}

type webhookResendCmd struct {
	named
	Delivery []string `arg:"" optional:"" help:"Deliveries to send again."`
	Failed   bool     `help:"Instead: all that failed."`
}

// Run is kong's.
func (c *webhookResendCmd) Run(ctx context.Context, t *terminal) error {
	if c.Failed == (len(c.Delivery) > 0) {
		return &exitError{2, errors.New("name the deliveries to send again, or say --failed (see sluice webhooks resend --help)")}
	}
	return c.with(t, func(api *client.Client) error {
		ids := c.Delivery
		if c.Failed {
			var err error
			if ids, err = failed(ctx, api, c.ID); err != nil {
				return err
			}
		}
		for _, id := range ids {
			d, err := api.Resend(ctx, c.ID, id)
			if err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			fmt.Fprintf(t.out, "%s is sent again\n", d.ID)
		}
		return nil
	})
}

// failed names all deliveries of a webhook that have failed by now.
func failed(ctx context.Context, api *client.Client, webhook string) (ids []string, err error) {
	q := client.DeliveryQuery{State: completion.DeliveryFailed, Limit: 100}
	for more := true; more; {
		var page []client.Delivery
		if page, more, err = api.Deliveries(ctx, webhook, q); err != nil {
			return nil, err
		}
		for _, d := range page {
			ids = append(ids, d.ID)
			q.After = d.ID
		}
	}
	return ids, nil
}
