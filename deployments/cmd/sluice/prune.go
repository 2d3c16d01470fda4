package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"sluice/shared/pruner"
	"sluice/shared/store"
)

type pruneCmd struct {
	operator
	pruner.Config
	EventAge  time.Duration  `env:"SLUICE_EVENT_AGE" default:"24h" help:"What has ended within this time is left to the API, which tells its end first."`
	DryRun    bool           `help:"Delete nothing, and count what would be deleted."`
	OlderThan *time.Duration `placeholder:"AGE" help:"For the kinds that are named, this age in place of the settings'; 0 is all that has ended."`
	Kinds     []string       `arg:"" optional:"" name:"kind" enum:"jobs,stored,batches,deleted,files,deliveries" help:"Only these: jobs, stored, batches, deleted, files, deliveries."`
}

// Help is kong's.
func (c *pruneCmd) Help() string {
	return "The API does this by itself, in the background. Chunks and pauses are the same here, so that it may be done at any time; " +
		"whatever must stay does, however old it is. Days that were counted for limits and dead workers go in any case."
}

// Validate is kong's.
func (c *pruneCmd) Validate() error {
	err := c.Config.Validate()
	switch {
	case c.OlderThan != nil && len(c.Kinds) == 0:
		err = errors.Join(err, errors.New("--older-than: name the kinds that it is for"))
	case c.OlderThan != nil && *c.OlderThan < 0:
		err = errors.Join(err, fmt.Errorf("--older-than %s: want 0 or more", *c.OlderThan))
	}
	return err
}

// retention is what to prune: of the kinds named, or of all.
func (c *pruneCmd) retention() pruner.Config {
	if len(c.Kinds) == 0 {
		return c.Config
	}
	var only pruner.Config
	for _, kind := range c.Kinds {
		ages := map[string]struct{ from, to *time.Duration }{
			"jobs": {&c.JobRetention, &only.JobRetention}, "stored": {&c.StoredRetention, &only.StoredRetention},
			"batches": {&c.BatchRetention, &only.BatchRetention}, "deleted": {&c.DeletedRetention, &only.DeletedRetention},
			"files": {&c.FileRetention, &only.FileRetention}, "deliveries": {&c.DeliveryRetention, &only.DeliveryRetention},
		}[kind]
		*ages.to = *ages.from
		if c.OlderThan != nil {
			*ages.to = max(*c.OlderThan, time.Nanosecond) // 0 would be for ever
		}
	}
	return only
}

// Run is kong's.
func (c *pruneCmd) Run(ctx context.Context, t *terminal) error {
	return c.under(store.Options{Limit: statementLimit}, func(s *store.Store) error {
		shown := time.Now()
		rows := map[store.Kind]int{}
		p := pruner.New(pruner.Parts{
			Store: s, EventAge: c.EventAge, Logger: slog.New(slog.DiscardHandler),
			Pruned: func(kind store.Kind, n int) {
				if rows[kind] += n; time.Since(shown) >= time.Second {
					shown = time.Now()
					fmt.Fprintf(t.err, "%s: %d\n", kind, rows[kind])
				}
			},
		}, c.retention())
		if c.DryRun {
			counts, err := p.Count(ctx)
			if err != nil {
				return err
			}
			return showPruned(t.out, "WOULD GO", counts)
		}
		pruned, err := p.Sweep(ctx, true)
		for until := time.Now().Add(busyLimit); errors.Is(err, pruner.ErrBusy) && ctx.Err() == nil && time.Now().Before(until); {
			time.Sleep(busyPause) // whoever prunes does not tell when it is done
			pruned, err = p.Sweep(ctx, true)
		}
		return errors.Join(showPruned(t.out, "PRUNED", pruned), err)
	})
}

const (
	statementLimit = time.Minute     // for counting what is old in large tables
	busyLimit      = 5 * time.Second // for a sweep of another process, which takes no time if there is nothing to do
	busyPause      = 100 * time.Millisecond
)

func showPruned(to io.Writer, title string, rows map[store.Kind]int) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "KIND\t%s\n", title)
	for _, kind := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(w, "%s\t%d\n", kind, rows[kind])
	}
	return w.Flush()
}
