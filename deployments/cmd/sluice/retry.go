package main

import (
	"context"
	"errors"
	"fmt"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type retryCmd struct {
	remote
	ID     []string         `arg:"" optional:"" help:"Jobs to try again."`
	All    bool             `help:"Instead: all jobs that match."`
	State  completion.State `enum:"failed,expired,cancelled" default:"failed" help:"With --all: jobs in this state: failed, expired or cancelled."`
	Lane   completion.Lane  `help:"With --all: only jobs of this lane."`
	Model  string           `help:"With --all: only jobs for this model."`
	DryRun bool             `help:"Only print what would be tried again."`
}

// Help is kong's.
func (c *retryCmd) Help() string {
	return "Each job that failed, expired or was cancelled becomes a new job, once: asked again, the same new job is named. Exit status 1 if a job could not be tried again."
}

// Run is kong's.
func (c *retryCmd) Run(ctx context.Context, t *terminal) error {
	if c.All == (len(c.ID) > 0) {
		return &exitError{2, errors.New("name the jobs to try again, or say --all (see sluice retry --help)")}
	}
	api, err := c.client(t)
	if err != nil {
		return err
	}
	r := retrier{api: api, t: t, dry: c.DryRun}
	if c.All {
		err = r.all(ctx, client.Query{State: c.State, Lane: c.Lane, Model: c.Model, Oldest: true, Limit: 100})
	} else {
		err = r.each(ctx, c.ID)
	}
	switch {
	case ctx.Err() != nil:
		r.sum()
		return &exitError{status: interrupted}
	case err != nil:
		return err
	}
	r.sum()
	if r.refused > 0 {
		return &exitError{1, fmt.Errorf("%d could not be tried again", r.refused)}
	}
	return nil
}

// retrier tries jobs again and counts.
type retrier struct {
	api                  *client.Client
	t                    *terminal
	dry                  bool
	made, known, refused int
}

// all tries again the jobs that match now, the oldest first. What fails meanwhile is left: it may be what was just tried
// again.
func (r *retrier) all(ctx context.Context, q client.Query) error {
	newest := q
	newest.Oldest, newest.Limit = false, 1
	page, _, err := r.api.List(ctx, newest)
	if err != nil || len(page) == 0 {
		return err
	}
	last := page[0].ID // ids are in the order of creation
	for more := true; more; {
		if page, more, err = r.api.List(ctx, q); err != nil {
			return err
		}
		var ids []string
		for _, job := range page {
			if q.After = job.ID; job.ID > last {
				return r.each(ctx, ids)
			}
			ids = append(ids, job.ID)
		}
		if err := r.each(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

// each tries jobs again. A refusal of the API concerns one job; any other error ends it.
func (r *retrier) each(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if r.dry {
			r.made++
			fmt.Fprintln(r.t.out, id)
			continue
		}
		job, created, err := r.api.Retry(ctx, id)
		var refusal *client.Error
		switch {
		case errors.As(err, &refusal) && refusal.Status < 500:
			r.refused++
			fmt.Fprintf(r.t.err, "%s: %s\n", id, refusal.Message)
		case err != nil:
			return err
		case created:
			r.made++
			fmt.Fprintf(r.t.out, "%s is tried again as %s\n", id, job.ID)
		default:
			r.known++
			fmt.Fprintf(r.t.out, "%s was tried again before, as %s (%s)\n", id, job.ID, job.State)
		}
	}
	return nil
}

func (r *retrier) sum() {
	if r.dry {
		fmt.Fprintf(r.t.err, "%d jobs would be tried again, unless they were before\n", r.made)
		return
	}
	fmt.Fprintf(r.t.err, "%d tried again, %d were before, %d refused\n", r.made, r.known, r.refused)
}
