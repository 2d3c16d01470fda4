package sweeper

import (
	"context"
	"log/slog"
	"time"
)

// health is what the sweeper knows of the store, or of the queue.
type health struct {
	log       *slog.Logger
	window    time.Duration // others need so long after an outage to show that they live
	failing   bool
	wellUntil time.Time // the last success while steady
	wellSince time.Time // the first success after the latest outage; zero: there was none
}

// note learns how a call ended that was made at a time.
func (h *health) note(ctx context.Context, made time.Time, err error) {
	now := time.Now()
	switch {
	case ctx.Err() != nil: // the sweeper is stopping; says nothing about the other side
	case err == nil && now.Sub(made) > h.window/2: // it hung, and with it those who had to show that they live
		h.failing, h.wellSince = false, now
		h.log.Warn("the sweeper had to wait for an answer", "for", now.Sub(made))
	case err != nil && !h.failing:
		h.failing = true
		h.log.Warn("the sweeper waits for an outage to end", "error", err)
	case err == nil && h.failing:
		h.failing, h.wellSince = false, now
		h.log.Info("the outage has ended")
	case err == nil && h.steady():
		h.wellUntil = now
	}
}

// steady reports whether there is no outage and the latest one ended long enough ago.
func (h *health) steady() bool {
	return !h.failing && (h.wellSince.IsZero() || time.Since(h.wellSince) >= h.window)
}
