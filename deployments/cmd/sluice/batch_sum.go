package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// namedFailures are how many of many failures are named.
const namedFailures = 5

// invalid says what is wrong with a file of which nothing was run.
func (p *pursuit) invalid(ctx context.Context, b client.Batch) error {
	if err := p.fetchErrors(ctx, b); err != nil {
		return err
	}
	for i, e := range b.Errors.Data {
		if i == namedFailures {
			fmt.Fprintf(p.t.err, "  and %s more: sluice batch get %s\n", digits(len(b.Errors.Data)-i), b.ID)
			break
		}
		fmt.Fprintln(p.t.err, " ", lineError(e))
	}
	if b.ErrorFileID != "" {
		fmt.Fprintln(p.t.err, "errors: ", p.Errors)
	}
	return &exitError{1, fmt.Errorf("%s: its file is not valid, and nothing was run", b.ID)}
}

// sum says what the batch has done; the error is what was not done.
func (p *pursuit) sum(ctx context.Context, b client.Batch, took time.Duration) error {
	fmt.Fprintf(p.t.err, "%s is %s: %s of %s lines completed, %s failed; %s tokens in, %s out; %s\n", b.ID, b.State, digits(b.Counts.Completed),
		digits(b.Counts.Total), digits(b.Counts.Failed), digits(b.Usage.Input), digits(b.Usage.Output), lasted(b, took))
	if p.Out != stdio {
		fmt.Fprintln(p.t.err, "answers:", p.Out)
	}
	if b.ErrorFileID != "" {
		fmt.Fprintln(p.t.err, "errors: ", p.Errors)
		p.nameFailures(ctx, b)
	}
	switch {
	case b.Counts.Failed > 0:
		return &exitError{1, fmt.Errorf("%s of %s lines have no answer; sluice batch retry %s tries them again", digits(b.Counts.Failed), digits(b.Counts.Total), b.ID)}
	case b.State != completion.BatchCompleted:
		return &exitError{1, fmt.Errorf("%s is %s", b.ID, b.State)}
	}
	return nil
}

// lasted is how long the batch took; one that took less than some seconds was watched more exactly than its times tell.
func lasted(b client.Batch, took time.Duration) string {
	ended := max(b.CompletedAt, b.ExpiredAt, b.CancelledAt)
	if all := time.Duration(ended-b.CreatedAt) * time.Second; all > took+time.Second {
		return all.String()
	}
	return took.Round(100 * time.Millisecond).String()
}

// nameFailures names the first lines that failed. It is no more than a help, and says nothing where it cannot.
func (p *pursuit) nameFailures(ctx context.Context, b client.Batch) {
	in, err := p.api.Content(ctx, b.ErrorFileID, 0, 256<<10)
	if err != nil {
		return
	}
	defer in.Close()
	text, _ := io.ReadAll(in) // what has come is enough
	n := 0
	for line := range bytes.Lines(text) {
		var l client.BatchLine
		if n == namedFailures || json.Unmarshal(line, &l) != nil {
			break
		}
		fmt.Fprintf(p.t.err, "  %s: %v\n", l.CustomID, l.Failure())
		n++
	}
	if rest := b.Counts.Failed - n; n > 0 && rest > 0 {
		fmt.Fprintf(p.t.err, "  and %s more\n", digits(rest))
	}
}
