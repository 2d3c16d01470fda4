package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"
)

type modelsCmd struct{ remote }

// Run is kong's.
func (c *modelsCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client(t)
	if err != nil {
		return err
	}
	models, err := api.Models(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tOWNED BY\tCREATED")
	for _, m := range models {
		created := "-"
		if m.Created > 0 {
			created = time.Unix(m.Created, 0).Local().Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", m.ID, m.OwnedBy, created)
	}
	return w.Flush()
}
