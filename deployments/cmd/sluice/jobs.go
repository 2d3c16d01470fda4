package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

const defaultAPI = "http://127.0.0.1:8080"

// remote is a command that talks to a running API.
type remote struct {
	API string `name:"api" env:"SLUICE_API_URL" default:"http://127.0.0.1:8080" help:"Address of the API."`
}

func (r remote) client() (*client.Client, error) { return client.New(r.API, nil) }

type getCmd struct {
	remote
	ID string `arg:"" help:"The job's id."`
}

// Run is kong's.
func (c *getCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	job, err := api.Get(ctx, c.ID)
	if err != nil {
		return err
	}
	return printJSON(t, job)
}

type cancelCmd struct {
	remote
	ID string `arg:"" help:"The job's id."`
}

// Run is kong's.
func (c *cancelCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	job, err := api.Cancel(ctx, c.ID)
	if err != nil {
		return err
	}
	if job.CancelRequested {
		fmt.Fprintf(t.out, "%s is being cancelled\n", job.ID)
		return nil
	}
	fmt.Fprintf(t.out, "%s is %s\n", job.ID, job.State)
	return nil
}

type listCmd struct {
	remote
	State completion.State `help:"Only jobs in this state."`
	Lane  completion.Lane  `help:"Only jobs of this lane."`
	Limit int              `default:"20" help:"At most this many."`
}

// Run is kong's.
func (c *listCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tLANE\tMODEL\tATTEMPT\tCREATED")
	for q, left := (client.Query{State: c.State, Lane: c.Lane}), c.Limit; left > 0; {
		q.Limit = min(left, 100)
		jobs, more, err := api.List(ctx, q)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", j.ID, j.State, j.Lane, j.Model, j.Attempt, j.CreatedAt.Local().Format(time.DateTime))
			q.After = j.ID
		}
		if left -= len(jobs); !more {
			break
		}
	}
	return w.Flush()
}

func printJSON(t *terminal, v any) error {
	enc := json.NewEncoder(t.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
