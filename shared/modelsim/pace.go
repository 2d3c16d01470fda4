package modelsim

import (
	"context"
	"time"
)

// pacer holds an answer to its rate. Delays do not add up: a late token is sent at once.
type pacer struct {
	began time.Time
	first time.Duration
	each  float64 // seconds
	timer *time.Timer
}

func newPacer(s script) *pacer {
	p := &pacer{began: time.Now(), first: s.first}
	if s.tps > 0 {
		p.each = 1 / s.tps
	}
	return p
}

func (p *pacer) instant() bool { return p.each == 0 }

// wait returns when token i is due; errGone if ctx ends before.
func (p *pacer) wait(ctx context.Context, i int) error {
	if ctx.Err() != nil {
		return errGone
	}
	if p.instant() && (i > 0 || p.first == 0) {
		return nil
	}
	due := p.first + time.Duration(float64(i)*p.each*float64(time.Second)) - time.Since(p.began)
	if due <= 0 {
		return nil
	}
	if p.timer == nil {
		p.timer = time.NewTimer(due)
	} else {
		p.timer.Reset(due)
	}
	select {
	case <-p.timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	}
}

func (p *pacer) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
