// Package row reads what has become of a batch's lines, in the order of its input: for the files that a batch ends with,
// and for whoever wants to see meanwhile how far it is.
//
// It holds one page of answers at a time, of about a megabyte. Only where a line's answer is another one's (see
// completion.Batch.Deduplicate), or lines have never become jobs, does it read the input too.
package row

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"sluice/api/internal/blob"
	"sluice/api/internal/line"
	"sluice/shared/completion"
)

// Jobs are where answers lie.
type Jobs interface {
	Lines(ctx context.Context, ref completion.Ref, lines []int) ([]completion.Job, error)
	LinesFrom(ctx context.Context, ref completion.Ref, after, upto, limit int) ([]completion.Job, error)
}

// Files are where inputs lie.
type Files interface {
	Open(ctx context.Context, name string) (blob.Blob, error)
}

// Source reads rows. It is safe for concurrent use.
type Source struct {
	Jobs  Jobs
	Files Files
}

// Row is the row of one line.
type Row struct {
	Line     int
	Data     json.RawMessage // as in the batch's files, without a line feed
	Answered bool            // it belongs into the output file, and not into the error file
	Job      *completion.Job // that ran the line; nil: it never ran
	Shared   bool            // the job is an earlier line's
}

// ErrOpen means that a line has not ended.
var ErrOpen = errors.New("a line has not ended")

// Sofar yields the rows of the lines above after that have ended by now. The last error, if there is one, is the store's or
// the file's.
func (s Source) Sofar(ctx context.Context, b *completion.Batch, after int) iter.Seq2[Row, error] {
	return s.rows(ctx, b, after, "")
}

// All yields a row for every line of the batch, which ends as why says: lines that never ran get their rows too. ErrOpen: some
// line may still get an answer.
func (s Source) All(ctx context.Context, b *completion.Batch, why completion.BatchState) iter.Seq2[Row, error] {
	return s.rows(ctx, b, 0, why)
}

// walk is one reading of a batch's rows.
type walk struct {
	Source
	b     *completion.Batch
	after int
	why   completion.BatchState // of lines that never ran; empty: leave them out
	page  Page
	yield func(Row, error) bool
}

// errLeft means that nobody wants more.
var errLeft = errors.New("left")

func (s Source) rows(ctx context.Context, b *completion.Batch, after int, why completion.BatchState) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		w := &walk{Source: s, b: b, after: after, why: why, yield: yield}
		var err error
		if b.Deduplicate {
			err = w.input(ctx, line.Position{})
		} else {
			if err = w.jobs(ctx); err == nil && why != "" && b.Checkpoint.Fed < b.Counts.Total {
				err = w.input(ctx, line.Position{Number: b.Checkpoint.Fed, Offset: b.Checkpoint.Offset})
			}
		}
		if err != nil && !errors.Is(err, errLeft) {
			yield(Row{}, fmt.Errorf("read rows of batch %s: %w", b.ID, err))
		}
	}
}

// jobs yields the rows of lines that are all jobs.
func (w *walk) jobs(ctx context.Context) error {
	for after := w.after; after < w.b.Checkpoint.Fed; {
		limit := w.page.Limit()
		list, err := w.Jobs.LinesFrom(ctx, w.b.Ref(), after, w.b.Checkpoint.Fed, limit)
		if err != nil {
			return err
		}
		w.page.Note(list)
		for i := range list {
			if err := w.give(&list[i], list[i].Line, list[i].CustomID); err != nil {
				return err
			}
		}
		if len(list) < limit {
			break
		}
		after = list[len(list)-1].Line
	}
	return nil
}

// input yields the rows of lines in the order of the input, from a position on.
func (w *walk) input(ctx context.Context, from line.Position) error {
	in, err := w.Files.Open(ctx, blob.Name(w.b.Tenant, w.b.Input))
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(from.Offset, 0); err != nil {
		return err
	}
	var twins line.Twins
	part := make([]asked, 0, maxPage)
	for l, err := range line.Read(in, from, w.b.Endpoint) {
		if err != nil {
			return err
		}
		a := asked{number: l.Number, original: l.Number, customID: l.CustomID}
		if w.b.Deduplicate {
			a.original = twins.Original(&l)
		}
		if l.Number > w.after {
			part = append(part, a)
		}
		last := l.Number >= w.b.Counts.Total || w.why == "" && l.Number >= w.b.Checkpoint.Fed
		if last || len(part) >= w.page.Limit() {
			if err := w.part(ctx, part); err != nil || last {
				return err
			}
			part = part[:0]
		}
	}
	return w.part(ctx, part)
}

// asked is a line of the input.
type asked struct {
	number, original int
	customID         string
}

// part yields the rows of some lines.
func (w *walk) part(ctx context.Context, part []asked) error {
	var lines []int
	wanted := map[int]*completion.Job{}
	for _, a := range part {
		if _, known := wanted[a.original]; !known && a.number <= w.b.Checkpoint.Fed {
			wanted[a.original] = nil
			lines = append(lines, a.original)
		}
	}
	list, err := w.Jobs.Lines(ctx, w.b.Ref(), lines)
	if err != nil {
		return err
	}
	w.page.Note(list)
	for i := range list {
		wanted[list[i].Line] = &list[i]
	}
	for _, a := range part {
		var job *completion.Job
		if a.number <= w.b.Checkpoint.Fed {
			job = wanted[a.original]
		}
		if err := w.give(job, a.number, a.customID); err != nil {
			return err
		}
	}
	return nil
}

// give yields the row of a line, which job has run; nil: none has.
func (w *walk) give(job *completion.Job, number int, customID string) error {
	r := Row{Line: number, Job: job, Shared: job != nil && job.Line != number}
	switch {
	case job != nil && job.State.Final():
		r.Data, r.Answered = line.Twin(w.b, job, number, customID)
	case w.why == "":
		return nil
	case job != nil:
		return fmt.Errorf("line %d is %s: %w", number, job.State, ErrOpen)
	default:
		r.Data = line.Unrun(w.b, number, customID, w.why)
	}
	if !w.yield(r, nil) {
		return errLeft
	}
	return nil
}
