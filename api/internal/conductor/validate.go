package conductor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sluice/api/internal/blob"
	"sluice/api/internal/line"
	"sluice/shared/completion"
)

// newsEvery is after how many lines a validation looks whether it is still wanted.
const newsEvery = 1000

// validate reads the whole input, and lets the batch in or not.
func (g *charge) validate(ctx context.Context) error {
	if g.written() { // the verdict is in already
		return g.publish(ctx, completion.BatchFailed)
	}
	if err := g.queueUp(ctx); err != nil || !g.unjudged() {
		return err
	}
	defer func() { <-g.checks }()
	in, err := g.Files.Open(ctx, blob.Name(g.b.Tenant, g.b.Input))
	if errors.Is(err, fs.ErrNotExist) {
		g.b.Errors = []completion.LineError{{Code: "file_not_found", Message: "The input file is gone.", Param: "input_file_id"}}
		return g.move(ctx, completion.BatchFailed)
	}
	if err != nil {
		return fmt.Errorf("open input: %w", err)
	}
	defer in.Close()
	checker := line.NewChecker(g.b.Endpoint, g.Models)
	faults := g.sheet("error")
	defer faults.drop()
	for l, err := range checker.Check(ctx, in) {
		f := line.AsFault(err)
		switch {
		case err != nil && f == nil:
			return fmt.Errorf("read input: %w", err)
		case f != nil && f.Line > 0:
			if err := faults.write(ctx, f.Row(&g.b)); err != nil {
				return err
			}
		}
		if l.Number%newsEvery == 0 {
			if err := g.news(ctx); err != nil || !g.unjudged() {
				return err
			}
		}
	}
	return g.judge(ctx, checker, faults)
}

// unjudged reports whether the batch still waits for what validation finds.
func (g *charge) unjudged() bool { return g.b.State == completion.BatchValidating }

// queueUp waits until one more input may be checked.
func (g *charge) queueUp(ctx context.Context) error {
	for {
		if err := g.news(ctx); err != nil || !g.unjudged() {
			return err
		}
		select {
		case g.checks <- struct{}{}:
			return nil
		case <-g.inbox.bell:
		case <-time.After(max(0, min(g.Look, time.Until(g.b.Deadline)))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// news finds out whether the batch was cancelled meanwhile, or its time is over.
func (g *charge) news(ctx context.Context) error {
	if !time.Now().Before(g.b.Deadline) {
		return g.move(ctx, completion.BatchExpired)
	}
	if g.gather(); !g.refresh {
		return context.Cause(ctx)
	}
	return g.sync(ctx)
}

// judge ends validation with what it has found.
func (g *charge) judge(ctx context.Context, found *line.Checker, faults *sheet) error {
	g.b.Model = found.Model
	if found.Bad == 0 {
		g.b.Counts = completion.Counts{Total: found.Total}
		return g.move(ctx, completion.BatchInProgress)
	}
	if err := faults.end(); err != nil {
		return err
	}
	g.b.Errors, g.b.Faults = found.Errors, faults.id
	g.b.Counts = completion.Counts{Total: found.Total, Failed: found.Total}
	if err := g.Store.SaveBatch(ctx, &g.b); err != nil {
		return err
	}
	if !g.unjudged() { // cancelled meanwhile: nothing is to be seen of it
		g.b.Errors, g.b.Faults, g.b.Counts = nil, "", completion.Counts{}
		return g.Store.SaveBatch(ctx, &g.b)
	}
	return g.publish(ctx, completion.BatchFailed)
}
