package conductor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sluice/api/internal/blob"
	"sluice/api/internal/row"
	"sluice/shared/completion"
)

// finish writes the files of a batch whose lines have ended, and ends it.
func (g *charge) finish(ctx context.Context, to completion.BatchState) error {
	if !g.written() && !g.b.InProgressAt.IsZero() {
		if err := g.write(ctx, to); err != nil {
			return err
		}
	}
	return g.publish(ctx, to)
}

// write writes a row for every line. Nothing shows the files yet, but the batch's row knows that they are whole.
func (g *charge) write(ctx context.Context, to completion.BatchState) error {
	answers, faults := g.sheet("output"), g.sheet("error")
	defer answers.drop()
	defer faults.drop()
	var counts completion.Counts
	var usage completion.BatchUsage
	for r, err := range (row.Source{Jobs: g.Store, Files: g.Files}).All(ctx, &g.b, to) {
		if err != nil {
			return err
		}
		s := faults
		counts.Total++
		if r.Answered {
			s = answers
			counts.Completed++
		} else {
			counts.Failed++
		}
		if r.Job != nil && !r.Shared {
			use(&usage, r.Job.Usage)
		}
		if err := s.write(ctx, r.Data); err != nil {
			return err
		}
	}
	if counts.Total != g.b.Counts.Total {
		return fmt.Errorf("%d of %d lines have a row", counts.Total, g.b.Counts.Total)
	}
	if err := errors.Join(answers.end(), faults.end()); err != nil {
		return err
	}
	g.b.Counts, g.b.Usage, g.b.Output, g.b.Faults = counts, usage, answers.id, faults.id
	return g.sync(ctx)
}

// publish shows the files, and ends the batch.
func (g *charge) publish(ctx context.Context, to completion.BatchState) error {
	for _, id := range []*string{&g.b.Output, &g.b.Faults} {
		if *id == "" {
			continue
		}
		err := g.show(ctx, *id)
		if isAny(err, completion.ErrNotFound, fs.ErrNotExist) { // an outage was so long that it was given up
			g.b.Output, g.b.Faults = "", ""
			err = errors.Join(err, g.Store.SaveBatch(ctx, &g.b))
		}
		if err != nil {
			return err
		}
	}
	return g.move(ctx, to)
}

func (g *charge) show(ctx context.Context, id string) error {
	f, err := g.Files.Open(ctx, blob.Name(g.b.Tenant, id))
	if err != nil {
		return fmt.Errorf("open file %s: %w", id, err)
	}
	size := f.Size()
	_ = f.Close() // nothing was read
	_, err = g.Store.ReadyFile(ctx, g.b.Tenant, id, size)
	return err
}

// byeLimit is how long an ended batch waits for the log. Afterwards whoever follows it gets the end from the store.
const byeLimit = 10 * time.Second

// bye tells what was not told yet, and the end.
func (g *charge) bye(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, byeLimit)
	defer cancel()
	err := g.tellAll(limited)
	if limited.Err() != nil && ctx.Err() == nil {
		g.log.Warn("the end of a batch was not told, whoever follows it gets it from the store", "error", err)
		return nil
	}
	return err
}

func (g *charge) tellAll(ctx context.Context) error {
	final := utterance{event: g.b.FinalEvent()}
	for said := false; ; {
		for _, step := range []func(context.Context) error{g.reopen, g.flush, g.catchUp} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		switch m := &g.mouth; {
		case g.away():
			if err := pause(ctx, min(time.Until(m.after), 100*time.Millisecond)); err != nil {
				return err
			}
		case m.tail.Last().Type.Final():
			return nil
		case !m.behind && !said:
			said, m.queue = true, []utterance{final}
		}
	}
}
