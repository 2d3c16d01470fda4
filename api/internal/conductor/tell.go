package conductor

import (
	"context"
	"encoding/json"

	"sluice/api/internal/line"
	"sluice/shared/completion"
)

// eventBytes is the room for rows in an event; the rest is for the batch itself. A row above it comes without its answer.
const eventBytes = 180_000

// count takes account of a line that job has run, once.
func (g *charge) count(number int, job *completion.Job) {
	if !g.counted.Add(number) {
		return
	}
	if job.State == completion.Completed {
		g.b.Counts.Completed++
	} else {
		g.b.Counts.Failed++
	}
	if job.Line == number {
		use(&g.b.Usage, job.Usage)
		g.waiting = max(0, g.waiting-1)
	}
	g.dirty, g.moved = true, true
}

// hear reads what has become of lines that may have ended.
func (g *charge) hear(ctx context.Context) error {
	for range hearPages {
		lines := g.nextRung()
		if len(lines) == 0 {
			return nil
		}
		if err := g.learn(ctx, lines); err != nil {
			return err
		}
	}
	return nil
}

// nextRung takes a page of lines that may have ended, and are not counted with all of their twins.
func (g *charge) nextRung() []int {
	limit := g.page.Limit()
	seen := make(map[int]bool, min(limit, len(g.rung)))
	lines := make([]int, 0, min(limit, len(g.rung)))
	for len(g.rung) > 0 && len(lines) < limit {
		n := g.rung[0]
		g.rung = g.rung[1:]
		if n > g.b.Checkpoint.Fed || seen[n] || g.counted.Has(n) && !g.twins.missing(n, g.counted) {
			continue
		}
		seen[n] = true
		lines = append(lines, n)
	}
	return lines
}

// learn counts those of the lines that have ended, with their twins, and tells of those that have not been told.
func (g *charge) learn(ctx context.Context, lines []int) error {
	jobs, err := g.Store.Lines(ctx, g.ref, lines)
	if err != nil {
		return err
	}
	g.page.Note(jobs)
	var rows []told
	add := func(number int, customID string, job *completion.Job) {
		if g.count(number, job); g.away() || g.b.Checkpoint.Told.Has(number) {
			return
		}
		data, _ := line.Twin(&g.b, job, number, customID)
		rows = append(rows, told{number, line.Numbered(data, number, eventBytes)})
	}
	for i := range jobs {
		j := &jobs[i]
		if !j.State.Final() {
			continue
		}
		add(j.Line, j.CustomID, j)
		for _, t := range g.twins.of(j.Line) {
			add(t.number, t.customID, j)
		}
	}
	return g.tell(ctx, rows)
}

// told is a line to tell of.
type told struct {
	number int
	data   json.RawMessage
}

// tell tells of lines, in as few events as hold them. What does not get into the log now is left to catchUp.
func (g *charge) tell(ctx context.Context, rows []told) error {
	g.mouth.behind = g.mouth.behind || g.away()
	for len(rows) > 0 && !g.away() {
		var u utterance
		for size := 0; len(rows) > 0 && (size == 0 || size+len(rows[0].data) <= eventBytes); rows = rows[1:] {
			size += len(rows[0].data)
			u.event.Lines = append(u.event.Lines, rows[0].data)
			u.lines = append(u.lines, rows[0].number)
		}
		u.event.Type = completion.EventLines
		if err := g.say(ctx, u); err != nil {
			return err
		}
	}
	g.mouth.behind = g.mouth.behind || g.away()
	return nil
}

// catchUp tells of lines that are counted and were not told while the log was away.
func (g *charge) catchUp(ctx context.Context) error {
	for range hearPages {
		if g.away() || !g.mouth.behind {
			return nil
		}
		lines := g.untold(g.page.Limit())
		if len(lines) == 0 {
			g.mouth.behind = false
			return nil
		}
		if err := g.learn(ctx, lines); err != nil {
			return err
		}
	}
	return nil
}

// untold are the lines whose jobs tell of up to limit lines that are counted and not told.
func (g *charge) untold(limit int) []int {
	var lines []int
	for g.b.Checkpoint.Told.Has(g.mouth.floor + 1) {
		g.mouth.floor++
	}
	seen := map[int]bool{}
	for n := g.mouth.floor + 1; n <= g.b.Checkpoint.Fed && len(lines) < limit; n++ {
		if !g.counted.Has(n) || g.b.Checkpoint.Told.Has(n) {
			continue
		}
		if o := g.twins.original(n); !seen[o] {
			seen[o] = true
			lines = append(lines, o)
		}
	}
	return lines
}
