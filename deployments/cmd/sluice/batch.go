package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type batchCmd struct {
	Run    batchRunCmd    `cmd:"" help:"Run a file of requests and write the file of answers."`
	Follow batchFollowCmd `cmd:"" help:"Follow a batch to its end and write its answers."`
	List   batchListCmd   `cmd:"" help:"List batches, newest first."`
	Get    batchGetCmd    `cmd:"" help:"Show a batch."`
	Cancel batchCancelCmd `cmd:"" help:"Cancel a batch, keeping the answers that it has."`
	Pause  batchPauseCmd  `cmd:"" help:"Put no further line of a batch into the queue for now; its window goes on."`
	Resume batchResumeCmd `cmd:"" help:"Go on with a paused batch."`
	Retry  batchRetryCmd  `cmd:"" help:"Make a new batch of the lines that failed, expired or were cancelled, and print its id."`
}

// oneBatch is a command for one batch.
type oneBatch struct {
	remote
	ID string `arg:"" help:"The batch's id."`
}

type batchListCmd struct {
	remote
	Limit int `default:"20" help:"At most this many."`
}

// Run is kong's.
func (c *batchListCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSTATE\tLINES\tFAILED\tCREATED\tMODEL")
		for q, left := (client.BatchQuery{}), c.Limit; left > 0; {
			q.Limit = min(left, 100)
			page, more, err := api.Batches(ctx, q)
			if err != nil {
				return err
			}
			for _, b := range page {
				fmt.Fprintf(w, "%s\t%s\t%d/%d\t%d\t%s\t%s\n", b.ID, standing(b), b.Counts.Ended(), b.Counts.Total, b.Counts.Failed, moment(b.CreatedAt), b.Model)
				q.After = b.ID
			}
			if left -= len(page); !more {
				break
			}
		}
		return w.Flush()
	})
}

// standing is a batch's state, as a person asks for it.
func standing(b client.Batch) string {
	if b.Paused && !b.State.Final() {
		return "paused"
	}
	return string(b.State)
}

func moment(seconds int64) string { return day(time.Unix(seconds, 0)) }

type batchGetCmd struct {
	oneBatch
	JSON bool `name:"json" help:"Print it as the API shows it, without what it does not have."`
}

// Run is kong's.
func (c *batchGetCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		b, err := api.Batch(ctx, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(t, b)
		}
		return showBatch(t, b)
	})
}

func showBatch(t *terminal, b client.Batch) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	show := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	at := func(name string, seconds int64) {
		if seconds > 0 {
			show(name, moment(seconds))
		}
	}
	show("id", b.ID)
	show("state", standing(b))
	show("lines", fmt.Sprintf("%s of %s, %s failed", digits(b.Counts.Ended()), digits(b.Counts.Total), digits(b.Counts.Failed)))
	show("tokens", fmt.Sprintf("%s in (%s cached), %s out (%s reasoning)", digits(b.Usage.Input), digits(b.Usage.InputDetails.Cached),
		digits(b.Usage.Output), digits(b.Usage.OutputDetails.Reasoning)))
	show("endpoint", string(b.Endpoint))
	show("model", b.Model)
	show("retry of", b.RetryOf)
	show("input", b.InputFileID)
	show("output", b.OutputFileID)
	show("errors", b.ErrorFileID)
	show("subject", b.Subject)
	show("window", b.Window)
	at("created", b.CreatedAt)
	at("in progress", b.InProgressAt)
	at("finalizing", b.FinalizingAt)
	at("cancelling", b.CancellingAt)
	at("expires", b.ExpiresAt)
	at("ended", max(b.CompletedAt, b.FailedAt, b.ExpiredAt, b.CancelledAt))
	for _, name := range slices.Sorted(maps.Keys(b.Metadata)) {
		show("metadata", name+"="+b.Metadata[name])
	}
	for _, e := range b.Errors.Data {
		show("wrong", lineError(e))
	}
	return w.Flush()
}

// lineError says what is wrong with a line of a batch's file.
func lineError(e completion.LineError) string {
	var s strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&s, "line %d: ", e.Line)
	}
	s.WriteString(e.Message)
	if e.Param != "" {
		fmt.Fprintf(&s, " (%s)", e.Param)
	}
	fmt.Fprintf(&s, " [%s]", e.Code)
	return s.String()
}

type batchCancelCmd struct{ oneBatch }

// Run is kong's.
func (c *batchCancelCmd) Run(ctx context.Context, t *terminal) error {
	return c.act(ctx, t, (*client.Client).CancelBatch)
}

type batchPauseCmd struct{ oneBatch }

// Run is kong's.
func (c *batchPauseCmd) Run(ctx context.Context, t *terminal) error {
	return c.act(ctx, t, (*client.Client).PauseBatch)
}

type batchResumeCmd struct{ oneBatch }

// Run is kong's.
func (c *batchResumeCmd) Run(ctx context.Context, t *terminal) error {
	return c.act(ctx, t, (*client.Client).ResumeBatch)
}

// act does something to the batch and says how it then stands.
func (c oneBatch) act(ctx context.Context, t *terminal, do func(*client.Client, context.Context, string) (client.Batch, error)) error {
	return c.with(t, func(api *client.Client) error {
		b, err := do(api, ctx, c.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is %s\n", b.ID, standing(b))
		return nil
	})
}

type batchRetryCmd struct{ oneBatch }

// Run is kong's. The id alone goes to standard output.
func (c *batchRetryCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		b, created, err := api.RetryBatch(ctx, c.ID)
		if err != nil {
			return err
		}
		fmt.Fprintln(t.out, b.ID)
		said := "is tried again"
		if !created {
			said = "was tried again before"
		}
		fmt.Fprintf(t.err, "%s %s; sluice batch follow %s waits for its answers\n", c.ID, said, b.ID)
		return nil
	})
}
