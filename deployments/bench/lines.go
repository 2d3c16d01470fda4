package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// input is a batch's file on this machine's disk.
type input struct {
	name  string
	model func(line int) string
	lines int
	bytes int // of each line, filled up with text; less than a line needs: as it comes
}

// upload writes the file to disk and uploads it, and returns its id and how long the upload took.
func (c *cluster) upload(ctx context.Context, in input) (id string, took time.Duration, err error) {
	path := filepath.Join(c.dir, in.name+".jsonl")
	size, err := in.write(path)
	if err != nil {
		return "", 0, fmt.Errorf("write %s: %w", path, err)
	}
	content, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("open input: %w", err)
	}
	defer content.Close()
	began := time.Now()
	f, err := c.api.UploadFile(ctx, client.Upload{Name: in.name + ".jsonl", Purpose: completion.PurposeBatch, Content: content, Size: size})
	return f.ID, time.Since(began), err
}

func (in input) write(path string) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	for n := range in.lines {
		line := fmt.Sprintf(`{"custom_id":"line-%d","method":"POST","url":"/v1/chat/completions","body":{"model":%q,"messages":[{"role":"user","content":"hello`, n+1, in.model(n))
		const end = `"}]}}` + "\n"
		line += strings.Repeat(" padding", max(0, in.bytes-len(line)-len(end))/len(" padding")) + end
		size += int64(len(line))
		_, _ = out.WriteString(line) // Flush says if it failed
	}
	return size, errors.Join(out.Flush(), f.Close())
}

// pollPause is between two looks at what goes on. What is measured by looking is wrong by as much.
const pollPause = 100 * time.Millisecond

// hangLimit ends what hangs, and with it the run. Nothing is measured by it.
const hangLimit = 4 * time.Minute

func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, hangLimit, fmt.Errorf("no end within %s", hangLimit))
}

// create makes a batch of an uploaded file.
func (c *cluster) create(ctx context.Context, file string) (client.Batch, error) {
	return c.api.CreateBatch(ctx, client.BatchCreation{InputFileID: file, Endpoint: completion.EndpointChat, Window: "24h"})
}

// await polls a batch until it is as it should be. One that has ended otherwise never is.
func (c *cluster) await(ctx context.Context, id string, should func(client.Batch) bool) error {
	ctx, stop := limited(ctx)
	defer stop()
	for {
		b, err := c.api.Batch(ctx, id)
		switch {
		case err != nil:
			return err
		case should(b):
			return nil
		case b.State.Final():
			return fmt.Errorf("batch %s is %s: %v", id, b.State, b.Errors.Data)
		}
		if err := rest(ctx, pollPause); err != nil {
			return err
		}
	}
}

func ended(b client.Batch) bool { return b.State.Final() }

// validated reports whether the batch's file has been read and found good.
func validated(b client.Batch) bool {
	return b.State != completion.BatchValidating && b.State != completion.BatchFailed
}
