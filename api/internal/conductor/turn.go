package conductor

import (
	"context"
	"time"

	"sluice/shared/completion"
)

const (
	turnEvery = 50 * time.Millisecond // so that lines that end together are told together
	saveEvery = time.Second
	lookSoon  = time.Second // to the next look, while lines end or are fed
	openPage  = 1000
	hearPages = 4 // in one turn
)

// turn does whatever is due for a batch whose lines are fed or run, and waits until more is.
func (g *charge) turn(ctx context.Context) error {
	g.turned = time.Now()
	g.gather()
	for _, step := range []func(context.Context) error{g.reopen, g.flush, g.declare, g.look, g.hear, g.catchUp, g.save, g.feed} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return g.wait(ctx)
}

// gather reads the inbox.
func (g *charge) gather() {
	m := g.inbox.empty()
	g.rung = append(g.rung, m.lines...)
	if m.look {
		g.lookAt = time.Time{}
	}
	if m.row || m.stand != nil && (m.stand.state != g.b.State || m.stand.paused != g.b.Paused) {
		g.refresh = true
	}
}

// save writes how far the batch is, or reads what others have made of it.
func (g *charge) save(ctx context.Context) error {
	if g.refresh || g.dirty && !time.Now().Before(g.saveAt) {
		return g.sync(ctx)
	}
	return nil
}

// look finds lines that have ended without a ring, and how many wait.
func (g *charge) look(ctx context.Context) error {
	now := time.Now()
	if g.b.Counts.Ended() >= g.b.Checkpoint.Fed {
		g.waiting = 0
		return nil
	}
	if now.Before(g.lookAt) {
		return nil
	}
	g.lookAt = now.Add(g.Look)
	if g.moved || g.stopping {
		g.lookAt = now.Add(min(lookSoon, g.Look))
	}
	g.moved = false
	for g.counted.Has(g.floor + 1) {
		g.floor++
	}
	waiting, next := 0, g.floor+1 // the first line of which it is not known whether it has ended
	ended := func(upto int) {
		for ; next <= upto; next++ {
			if !g.counted.Has(next) && !g.twins.has(next) {
				g.rung = append(g.rung, next)
			}
		}
	}
	for after := g.floor; ; {
		open, err := g.Store.OpenLines(ctx, g.ref, after, openPage)
		if err != nil {
			return err
		}
		for i := range open {
			j := &open[i]
			ended(j.Line - 1)
			next, after = j.Line+1, j.Line
			switch {
			case j.State == completion.Queued:
				waiting++
			case g.stopping:
				g.Bell.Cancel(j.Ref())
			}
		}
		if len(open) < openPage {
			break
		}
	}
	ended(g.b.Checkpoint.Fed)
	g.waiting = waiting
	return nil
}

// wait waits for a ring, or until something is due.
func (g *charge) wait(ctx context.Context) error {
	until := g.lookAt
	if g.b.Counts.Ended() >= g.b.Checkpoint.Fed {
		until = time.Now().Add(g.Look)
	}
	due := func(when bool, at time.Time) {
		if when && at.Before(until) {
			until = at
		}
	}
	due(g.dirty, g.saveAt)
	due(g.away(), g.mouth.after)
	due(!g.stopping, g.b.Deadline)
	due(g.b.Counts.Ended() == g.b.Counts.Total || len(g.rung) > 0 || g.mouth.behind && !g.away(), time.Time{})
	if time.Until(until) > 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.inbox.bell:
		case <-time.After(time.Until(until)):
			return nil
		}
	}
	if len(g.rung) == 0 {
		return pause(ctx, time.Until(g.turned.Add(turnEvery)))
	}
	return nil
}

// pause waits for d, or returns why ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
