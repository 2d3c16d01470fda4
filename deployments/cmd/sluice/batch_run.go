package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type batchRunCmd struct {
	remote
	In string `arg:"" help:"Requests in OpenAI's batch format (JSON Lines); or CSV with a header, or plain text with a prompt on each line. - is standard input."`
	target
	ask
	Resume bool `help:"Go on with the run that was left: everything is as it was asked for then."`
	Detach bool `help:"Do not wait for the end: print the batch's id. --resume fetches the answers."`
}

// Help is kong's.
func (c *batchRunCmd) Help() string {
	return `A request that is made of a CSV row has the custom_id of its column custom_id or id, or else line-N, after the line on which it begins. Ctrl-C leaves the batch running, and says how to go on. Exit status: 0 if all lines have an answer, 1 if not, 2 for wrong usage, 130 after Ctrl-C.`
}

// Run is kong's.
func (c *batchRunCmd) Run(ctx context.Context, t *terminal) error {
	if err := c.target.settle(c.In, "batch"); err != nil {
		return err
	}
	return c.with(t, func(api *client.Client) error {
		r := batchRun{cmd: c, t: t, api: api, path: statePath(c.In, c.Out)}
		err := r.prepare(ctx)
		if err == nil {
			err = r.run(ctx)
		}
		if ctx.Err() != nil && !r.over {
			return r.left()
		}
		return err
	})
}

// batchRun is one run of a batch.
type batchRun struct {
	cmd   *batchRunCmd
	t     *terminal
	api   *client.Client
	path  string // of the state file; empty: there is none
	state batchState
	input *input // nil: it is not needed any more
	over  bool   // the batch has ended, and what it has is here
}

// resume is the command that goes on with this run.
func (r *batchRun) resume() string {
	if r.path == "" {
		return r.cmd.command(append([]string{"batch", "follow", r.state.Batch}, r.cmd.flags()...)...)
	}
	return r.cmd.command(append(append([]string{"batch", "run", r.cmd.In}, r.cmd.flags()...), "--resume")...)
}

// prepare reads the state, or begins one.
func (r *batchRun) prepare(ctx context.Context) error {
	if r.cmd.Resume {
		return r.goOn(ctx)
	}
	r.state = batchState{API: r.cmd.API, Key: "sluice-" + rand.Text(), Ask: r.cmd.ask}
	if err := r.state.Ask.settle(r.cmd.In); err != nil {
		return &exitError{2, err}
	}
	var err error
	if r.input, err = r.state.Ask.prepare(ctx, r.cmd.In, r.t); err != nil {
		return err
	}
	r.state.SHA256, r.state.Bytes = r.input.sha256, r.input.size
	if err := r.state.begin(r.path, r.resume()); err != nil {
		return errors.Join(err, r.input.Close())
	}
	return nil
}

// goOn reads the state of a run that was left, and checks that it is of this input.
func (r *batchRun) goOn(ctx context.Context) (err error) {
	if r.state, err = readState(r.path); err != nil {
		return err
	}
	if r.state.API != r.cmd.API {
		return &exitError{2, fmt.Errorf("the run was begun on %s, and this is %s: say --api %s", r.state.API, r.cmd.API, r.state.API)}
	}
	asked := r.cmd.ask
	if fresh := (ask{Window: "24h", Format: "auto"}); !reflect.DeepEqual(asked, fresh) {
		if err := asked.settle(r.cmd.In); err != nil {
			return &exitError{2, err}
		}
		if asked.Endpoint == "" {
			asked.Endpoint = r.state.Ask.Endpoint
		}
		if !reflect.DeepEqual(asked, r.state.Ask) {
			return &exitError{2, errors.New("--resume goes on with what was asked for, and this is something else: leave the other options out")}
		}
	}
	if r.cmd.In == stdio && r.state.File != "" {
		return nil
	}
	if r.input, err = r.state.Ask.prepare(ctx, r.cmd.In, r.t); err != nil {
		return err
	}
	if r.input.sha256 != r.state.SHA256 || r.input.size != r.state.Bytes {
		return errors.Join(&exitError{2, fmt.Errorf("%s is not what it was when the run was begun: put it back, or remove %s and run it without --resume", r.cmd.In, r.path)}, r.input.Close())
	}
	return nil
}

// run does what the state says is not done.
func (r *batchRun) run(ctx context.Context) (err error) {
	if r.input != nil {
		defer func() { err = errors.Join(err, r.input.Close()) }()
	}
	if r.state.File == "" {
		if err := r.upload(ctx); err != nil {
			return errors.Join(err, r.state.end(r.path)) // nothing is left on the server to go on with
		}
	}
	b, err := r.batch(ctx)
	if err != nil {
		return err
	}
	if r.cmd.Detach {
		fmt.Fprintln(r.t.out, b.ID)
		fmt.Fprintf(r.t.err, "To fetch its answers:\n  %s\n", r.resume())
		return nil
	}
	p := pursuit{api: r.api, t: r.t, target: r.cmd.target, seq: r.state.Seq}
	err = p.run(ctx, b)
	r.state.Seq = p.seq
	var ended *exitError
	if err == nil || errors.As(err, &ended) {
		r.over = true
		err = errors.Join(err, r.state.end(r.path))
	}
	return err
}

// upload sends the requests.
func (r *batchRun) upload(ctx context.Context) error {
	var sent int64
	size := r.input.size
	shown := r.t.progress(func(time.Time) string {
		return fmt.Sprintf("uploading %s: %.1f of %.1f MB", r.input.name, float64(sent)/1e6, float64(size)/1e6)
	})
	defer shown.end()
	content := reading{r.input, func(n int) { shown.set(sent+int64(n), size, func() { sent += int64(n) }) }}
	f, err := r.api.UploadFile(ctx, client.Upload{Name: r.input.name, Purpose: completion.PurposeBatch, Content: content, Size: size})
	if err != nil {
		return fmt.Errorf("upload %s: %w", r.cmd.In, err)
	}
	r.state.File = f.ID
	return r.state.keep(r.path)
}

// reading tells how much was read.
type reading struct {
	r    io.Reader
	told func(n int)
}

func (r reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.told(n)
	return n, err
}

// batch makes the batch, or finds the one that was made. If the server refuses it, nothing of the run is left.
func (r *batchRun) batch(ctx context.Context) (client.Batch, error) {
	if r.state.Batch != "" {
		return r.api.Batch(ctx, r.state.Batch)
	}
	a := r.state.Ask
	b, err := r.api.CreateBatch(ctx, client.BatchCreation{
		InputFileID: r.state.File, Endpoint: a.Endpoint, Window: a.Window, Metadata: a.Metadata, Deduplicate: a.Deduplicate, Key: r.state.Key,
	})
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
		_ = r.api.DeleteFile(ctx, r.state.File) // the server does it in time
		return b, errors.Join(err, r.state.end(r.path))
	}
	if err != nil {
		return b, fmt.Errorf("make the batch: %w; it is not known whether the server did. To go on:\n  %s", err, r.resume())
	}
	if r.state.Batch = b.ID; r.cmd.Resume {
		b, err = r.api.Batch(ctx, b.ID) // an answer that is repeated may be an old one
	}
	fmt.Fprintln(r.t.err, b.ID)
	return b, errors.Join(err, r.state.keep(r.path))
}

// left is the end of a run by Ctrl-C.
func (r *batchRun) left() error {
	switch {
	case r.state.Batch != "":
		if err := r.state.keep(r.path); err != nil {
			return err
		}
		return goesOn(r.t, r.state.Batch, r.resume())
	case r.state.File != "" && r.path != "":
		fmt.Fprintf(r.t.err, "\nwhether the batch was made is not known. To go on:\n  %s\n", r.resume())
	default:
		fmt.Fprintln(r.t.err, "\nnothing was begun")
	}
	return &exitError{status: interrupted}
}

// command is a command line that does args on the same server.
func (r remote) command(args ...string) string {
	if r.API != defaultAPI {
		args = append(args, "--api", r.API)
	}
	if r.KeyFile != "" {
		args = append(args, "--key-file", r.KeyFile)
	}
	line := "sluice"
	for _, arg := range args {
		line += " " + quote(arg)
	}
	return line
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote writes a word as a shell reads it.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
