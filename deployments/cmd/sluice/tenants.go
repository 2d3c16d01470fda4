package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"sluice/shared/completion"
	"sluice/shared/store"
)

type tenantsCmd struct {
	Set    tenantSetCmd    `cmd:"" help:"Limit a tenant; it takes effect within seconds."`
	List   tenantListCmd   `cmd:"" help:"List limits."`
	Preset tenantPresetCmd `cmd:"" help:"Show or change what a tenant's conversations begin with."`
}

type tenantSetCmd struct {
	operator
	Tenant           string   `arg:"" help:"The tenant, or * for all that have no limits of their own."`
	SubmitsPerSecond *float64 `help:"Jobs that may be submitted per second, and at once."`
	Queued           *int     `help:"Jobs that may wait, in each lane."`
	Running          *int     `help:"Jobs that may run at once, in each lane."`
	BodyBytes        *int64   `help:"Size of a submission, and of the body of each line of a batch, in bytes."`
	Streams          *int     `help:"Event streams that may be open over HTTP."`

	CompletionsPerDay      *int `help:"Completions that may be accepted in a day of UTC: jobs, chat completions and the like, turns of conversations, and each line of a batch."`
	Completions            *int `help:"Completions that may be accepted at all, counted from when this is first set."`
	OwnerCompletionsPerDay *int `help:"Completions that may be accepted in a day of UTC for one owner of conversations."`
}

// Help is kong's.
func (c *tenantSetCmd) Help() string {
	return "What is not named stays as it is; 0 takes a limit away. A tenant with limits of its own is not held to those of *."
}

// Validate is kong's.
func (c *tenantSetCmd) Validate() error {
	return errors.Join(validTenant(c.Tenant), c.change(completion.Limits{}).Validate())
}

func validTenant(name string) error {
	if name != completion.EveryTenant && !completion.ValidToken(name) {
		return fmt.Errorf("tenant %q: want 1 to 64 of a-z, 0-9, _ and -, or *", name)
	}
	return nil
}

// change returns l with what was named.
func (c *tenantSetCmd) change(l completion.Limits) completion.Limits {
	set(&l.SubmitsPerSecond, c.SubmitsPerSecond)
	set(&l.Queued, c.Queued)
	set(&l.Running, c.Running)
	set(&l.BodyBytes, c.BodyBytes)
	set(&l.Streams, c.Streams)
	set(&l.CompletionsPerDay, c.CompletionsPerDay)
	set(&l.Completions, c.Completions)
	set(&l.OwnerCompletionsPerDay, c.OwnerCompletionsPerDay)
	return l
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Run is kong's.
func (c *tenantSetCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(func(s *store.Store) error {
		all, err := s.Limits(ctx)
		if err != nil {
			return err
		}
		l := c.change(all[c.Tenant])
		if err := s.SetLimits(ctx, c.Tenant, l, time.Now()); err != nil {
			return err
		}
		return showLimits(t, map[string]completion.Limits{c.Tenant: l})
	})
}

type tenantListCmd struct{ operator }

// Run is kong's.
func (c *tenantListCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(func(s *store.Store) error {
		all, err := s.Limits(ctx)
		if err != nil {
			return err
		}
		return showLimits(t, all)
	})
}

func showLimits(t *terminal, all map[string]completion.Limits) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TENANT\tSUBMITS/S\tQUEUED\tRUNNING\tBODY BYTES\tSTREAMS\tCOMPLETIONS/DAY\tCOMPLETIONS\tOWNER'S/DAY")
	for _, tenant := range slices.Sorted(maps.Keys(all)) {
		l := all[tenant]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", tenant, most(l.SubmitsPerSecond), most(l.Queued), most(l.Running), most(l.BodyBytes), most(l.Streams),
			most(l.CompletionsPerDay), most(l.Completions), most(l.OwnerCompletionsPerDay))
	}
	return w.Flush()
}

// most shows a limit.
func most[T int | int64 | float64](n T) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
