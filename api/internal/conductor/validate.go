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

// newsEvery is after how many lines a validation looks whether it is still wanted, and lets others have a turn.
const newsEvery = 1000

// validate reads the whole input, and lets the batch in or not.
func (g *charge) validate(ctx context.Context) error {
	if g.written() { // the verdict is in already
		return g.publish(ctx, completion.BatchFailed)
	}
	seat := seat{g: g}
	defer seat.leave()
	if err := seat.take(ctx); err != nil || !g.unjudged() {
		return err
	}
	in, err := g.Files.Open(ctx, blob.Name(g.b.Tenant, g.b.Input))
	if errors.Is(err, fs.ErrNotExist) {
		g.b.Errors = []completion.LineError{{Code: "file_not_found", Message: "The input file is gone.", Param: "input_file_id"}}
		return g.move(ctx, completion.BatchFailed)
	}
	if err != nil {
		return fmt.Errorf("open input: %w", err)
	}
	defer in.Close()
	checker := line.NewChecker(g.b.Endpoint, g.Models, g.Limits.Of(g.b.Tenant).BodyBytes)
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
			if err := seat.take(ctx); err != nil || !g.unjudged() {
				return err
			}
		}
	}
	return g.judge(ctx, checker, faults)
}

// unjudged reports whether the batch still waits for what validation finds.
func (g *charge) unjudged() bool { return g.b.State == completion.BatchValidating }

// seat is one of the few at which inputs are checked. A batch gives it up now and then for those that wait, so that a huge
// input delays the others only as much as they delay it.
type seat struct {
	g     *charge
	taken bool
}

// take waits for a seat, behind those that wait already. There is none for a batch that is not to be checked any more.
func (s *seat) take(ctx context.Context) error {
	s.leave()
	for {
		if err := s.g.news(ctx); err != nil || !s.g.unjudged() {
			return err
		}
		select {
		case s.g.checks <- struct{}{}:
			s.taken = true
			return nil
		case <-s.g.inbox.bell:
		case <-time.After(max(0, min(s.g.Look, time.Until(s.g.b.Deadline)))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *seat) leave() {
	if s.taken {
		<-s.g.checks
		s.taken = false
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
		return g.admit(ctx)
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

// admit lets the lines in, all or none, as far as the tenant's completions go.
func (g *charge) admit(ctx context.Context) error {
	g.b.Quota = g.Limits.Of(g.b.Tenant).Quota("")
	err := g.move(ctx, completion.BatchInProgress)
	var full *completion.Error
	if !errors.As(err, &full) || !full.Code.Quota() {
		return err
	}
	g.b.Counts, g.b.Errors = completion.Counts{}, []completion.LineError{{Code: string(full.Code), Message: full.Message}}
	if err = g.move(ctx, completion.BatchFailed); err != nil {
		g.b.Errors = nil // cancelled meanwhile: nothing is to be seen of it
	}
	return err
}
