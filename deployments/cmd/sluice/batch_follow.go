package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type batchFollowCmd struct {
	oneBatch
	target
}

// Run is kong's. Leaving does not touch the batch.
func (c *batchFollowCmd) Run(ctx context.Context, t *terminal) error {
	if err := c.settle(c.ID+".jsonl", c.ID); err != nil {
		return err
	}
	return c.with(t, func(api *client.Client) error {
		b, err := api.Batch(ctx, c.ID)
		if err != nil {
			return err
		}
		p := pursuit{api: api, t: t, target: c.target}
		err = p.run(ctx, b)
		if ctx.Err() != nil {
			return goesOn(t, c.ID, c.command(append([]string{"batch", "follow", c.ID}, c.flags()...)...))
		}
		return err
	})
}

// goesOn is said to who leaves a batch that does not end with that.
func goesOn(t *terminal, id, command string) error {
	fmt.Fprintf(t.err, "\n%s goes on by itself. To follow it again:\n  %s\n", id, command)
	return &exitError{status: interrupted}
}

// target is where the answers go.
type target struct {
	Out    string `short:"o" placeholder:"FILE" help:"Where the answers go, in the order of the requests; by default IN's name, or the batch's id, with .out.jsonl. - is standard output."`
	Errors string `placeholder:"FILE" help:"Where the lines that failed go, if there are any; by default OUT's name with .errors.jsonl."`
	named  bool   // the user named Errors
}

// settle fills in the names for an input of that name. What has no file to be named after is named after id.
func (o *target) settle(in, id string) error {
	o.named = o.Errors != ""
	if o.Out == "" && in == stdio {
		o.Out = stdio
	}
	if o.Out == "" {
		o.Out = stem(in) + ".out.jsonl"
	}
	if o.Errors == "" {
		base := o.Out
		if stream(base) {
			base = in
		}
		if base == stdio {
			base = id
		}
		o.Errors = strings.TrimSuffix(stem(base), ".out") + ".errors.jsonl"
	}
	if in != stdio && sameFile(in, o.Out) || sameFile(in, o.Errors) || o.Out != stdio && sameFile(o.Out, o.Errors) {
		return &exitError{2, fmt.Errorf("the requests, the answers (%s) and the errors (%s) must be different files", o.Out, o.Errors)}
	}
	return nil
}

// flags name the target again.
func (o *target) flags() []string {
	args := []string{"-o", o.Out}
	if o.named {
		args = append(args, "--errors", o.Errors)
	}
	return args
}

func stem(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) }

func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	one, err := os.Stat(a)
	other, otherErr := os.Stat(b)
	return err == nil && otherErr == nil && one.Mode().IsRegular() && os.SameFile(one, other)
}

// pursuit follows one batch to its end and brings home what it has. A server that is away is waited for.
type pursuit struct {
	api *client.Client
	t   *terminal
	target
	seq int64 // of the latest event that was seen
}

// run returns nil if all lines have an answer.
func (p *pursuit) run(ctx context.Context, b client.Batch) error {
	began := time.Now()
	b, err := p.follow(ctx, b)
	if err != nil {
		return err
	}
	if b.State == completion.BatchFailed {
		return p.invalid(ctx, b)
	}
	if err := p.fetch(ctx, b); err != nil {
		return err
	}
	return p.sum(ctx, b, time.Since(began))
}

// pollEvery is how often a batch is looked at whose events have ended before it.
const pollEvery = time.Second

// follow shows how the batch comes on and returns it in its final state.
func (p *pursuit) follow(ctx context.Context, b client.Batch) (client.Batch, error) {
	var m meter
	shown := p.t.progress(m.text)
	defer shown.end()
	note := func() {
		shown.set(int64(b.Counts.Ended()), int64(b.Counts.Total), func() { m.note(b, time.Now()) })
	}
	for note(); !b.State.Final(); note() {
		for e, err := range p.api.FollowBatch(ctx, b.ID, p.seq) {
			if err != nil {
				return b, err
			}
			p.seq = e.Seq
			now := client.Batch{ID: b.ID}
			if json.Unmarshal(e.Batch, &now) == nil && now.Counts.Ended() >= b.Counts.Ended() { // or it is a replay
				b = now
				note()
			}
		}
		var err error
		if b, err = again(ctx, func() (client.Batch, error) { return p.api.Batch(ctx, b.ID) }); err != nil {
			return b, err
		}
		if !b.State.Final() {
			time.Sleep(pollEvery) // its log is over and it is not: this hardly is, and lasts no longer than the writing of its end
		}
	}
	return b, nil
}

// again repeats a read for as long as the server is away and ctx allows.
func again[T any](ctx context.Context, read func() (T, error)) (T, error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		v, err := read()
		var refused *client.Error
		if err == nil || errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// fetch writes the answers and the errors. Where there are no errors, no older ones are left to be taken for them.
func (p *pursuit) fetch(ctx context.Context, b client.Batch) error {
	if err := p.write(ctx, p.Out, b.OutputFileID); err != nil {
		return err
	}
	return p.fetchErrors(ctx, b)
}

func (p *pursuit) fetchErrors(ctx context.Context, b client.Batch) error {
	if b.ErrorFileID != "" {
		return p.write(ctx, p.Errors, b.ErrorFileID)
	}
	if stream(p.Errors) {
		return nil
	}
	if err := os.Remove(p.Errors); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write writes a file of the server's to path; an empty id is an empty file.
func (p *pursuit) write(ctx context.Context, path, id string) error {
	fill := func(w io.Writer) error {
		if id == "" {
			return nil
		}
		return download(ctx, p.api, id, w)
	}
	if path == stdio {
		return fill(p.t.out)
	}
	if !stream(path) {
		return save(path, 0o666, fill)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(fill(f), f.Close())
}

// download copies a file's content; where a connection breaks it goes on.
func download(ctx context.Context, api *client.Client, id string, w io.Writer) error {
	to := &counted{w: w}
	_, err := again(ctx, func() (struct{}, error) {
		in, err := api.Content(ctx, id, to.n, 0)
		var refused *client.Error
		if errors.As(err, &refused) && refused.Status == http.StatusRequestedRangeNotSatisfiable && to.n > 0 {
			return struct{}{}, nil // all of it had come
		}
		if err != nil {
			return struct{}{}, err
		}
		defer in.Close()
		if _, err = io.Copy(to, in); to.err != nil {
			err = nil // it is not the server's
		}
		return struct{}{}, err
	})
	if err = errors.Join(err, to.err); err != nil {
		return fmt.Errorf("download %s: %w", id, err)
	}
	return nil
}

// counted counts what was written and keeps the error.
type counted struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counted) Write(p []byte) (n int, err error) {
	n, c.err = c.w.Write(p)
	c.n += int64(n)
	return n, c.err
}
