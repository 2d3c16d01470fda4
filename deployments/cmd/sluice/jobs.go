package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/deployments/standalone"
	"sluice/shared/client"
	"sluice/shared/completion"
)

const (
	defaultAPI  = "http://127.0.0.1:8080"
	defaultData = "./data"
)

// remote is a command that talks to a running API.
type remote struct {
	API     string `name:"api" env:"SLUICE_API_URL" default:"http://127.0.0.1:8080" help:"Address of the API."`
	KeyFile string `name:"key-file" env:"SLUICE_API_KEY_FILE" placeholder:"FILE" help:"File with the API key; by default SLUICE_API_KEY has it, or else the all-in-one's file in SLUICE_DATA_DIR is read."`
	DataDir string `env:"SLUICE_DATA_DIR" default:"./data" hidden:"" help:"The all-in-one's folder."`
}

func (r remote) client(t *terminal) (*client.Client, error) {
	c, err := client.New(r.API, nil)
	if err != nil {
		return nil, err
	}
	key, err := r.key(t)
	return c.WithKey(key), err
}

// with runs do on the API.
func (r remote) with(t *terminal, do func(*client.Client) error) error {
	api, err := r.client(t)
	if err != nil {
		return err
	}
	return do(api)
}

// key is the API key that the user named, or that of the all-in-one, or none.
func (r remote) key(t *terminal) (string, error) {
	path := r.KeyFile
	if path == "" {
		if t.key != "" {
			return t.key, nil
		}
		path = filepath.Join(r.DataDir, standalone.KeyFile)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && r.KeyFile == "" {
		return "", nil // the API will say that it needs one
	}
	if err != nil {
		return "", fmt.Errorf("read API key: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

type getCmd struct {
	remote
	ID string `arg:"" help:"The job's id."`
}

// Run is kong's.
func (c *getCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client(t)
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
	api, err := c.client(t)
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
	Batch string           `placeholder:"ID" help:"The lines of this batch, the last one first."`
	Limit int              `default:"20" help:"At most this many."`
}

// Run is kong's.
func (c *listCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client(t)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tLANE\tMODEL\tATTEMPT\tCREATED")
	for q, left := (client.Query{State: c.State, Lane: c.Lane, Batch: c.Batch}), c.Limit; left > 0; {
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
