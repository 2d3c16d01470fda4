package gauge

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"sluice/shared/completion"
	"sluice/worker/internal/generate"
)

// failing is how many calls in a row must fail for their upstream to count as failing.
const failing = 3

// calls is what came of the calls that ended in one cell of time.
type calls struct {
	ended  int64
	errors map[completion.Code]int64
}

// Upstream is an upstream whose calls are counted. It generates as the one below does.
type Upstream struct {
	generate.Upstream

	gauge   *Gauge
	running int
	bad     int // calls that have failed since one went well
	calls   *ring[calls]
}

// Watch returns up with its calls counted.
func (g *Gauge) Watch(up generate.Upstream) *Upstream {
	u := &Upstream{Upstream: up, gauge: g, calls: newRing[calls](minute)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.upstreams = append(g.upstreams, u)
	return u
}

// Stream is that of the upstream below. A call that its caller gave up is not counted: the upstream has no part in that.
func (u *Upstream) Stream(ctx context.Context, e completion.Endpoint, request json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		u.begin()
		var failure error
		left := false
		defer func() { u.end(failure, left || context.Cause(ctx) != nil) }()
		for chunk, err := range u.Upstream.Stream(ctx, e, request) {
			failure = err
			if !yield(chunk, err) {
				left = err == nil
				return
			}
		}
	}
}

func (u *Upstream) begin() {
	u.gauge.mu.Lock()
	defer u.gauge.mu.Unlock()
	u.running++
}

func (u *Upstream) end(failure error, given bool) {
	u.gauge.mu.Lock()
	defer u.gauge.mu.Unlock()
	u.running--
	if given {
		return
	}
	c := u.calls.at(time.Now())
	c.ended++
	if failure == nil {
		u.bad = 0
		return
	}
	code := completion.AsError(failure).Code
	if c.errors == nil {
		c.errors = map[completion.Code]int64{}
	}
	c.errors[code]++
	switch code {
	case completion.CodeUnreachable, completion.CodeCut, completion.CodeStalled, completion.CodeUpstream, completion.CodeUpstreamGarbage, completion.CodeQuota:
		u.bad++
	case completion.CodeUpstreamRejected, completion.CodeModel:
		u.bad = 0 // it works; the request was wrong
	}
}

// status is how the upstream does; the caller holds the gauge's lock.
func (u *Upstream) status(now time.Time) completion.UpstreamStatus {
	s := completion.UpstreamStatus{Name: u.Name(), State: completion.UpstreamOK, Running: u.running}
	u.calls.each(now, minute, func(c calls) {
		s.Calls += c.ended
		if s.Errors == nil && len(c.errors) > 0 {
			s.Errors = map[completion.Code]int64{}
		}
		for code, n := range c.errors {
			s.Errors[code] += n
		}
	})
	switch {
	case s.Calls == 0 && s.Running == 0:
		s.State = completion.UpstreamIdle
	case u.bad >= failing:
		s.State = completion.UpstreamFailing
	}
	return s
}
