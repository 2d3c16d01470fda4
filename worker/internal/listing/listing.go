// Package listing keeps written down which models an upstream serves, so that the API, which knows no upstreams, can
// tell. Any number of workers may do it for the same upstream: they write the same.
package listing

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"sluice/shared/completion"
	"sluice/worker/internal/generate"
)

// Upstream is asked which models it serves.
type Upstream interface {
	Name() string
	Native() bool
	Models(ctx context.Context) (json.RawMessage, error)
}

// Store is where the answer is written down.
type Store interface {
	SetModels(ctx context.Context, l completion.ModelList) error
}

// Lister asks one upstream.
type Lister struct {
	up       Upstream
	store    Store
	interval time.Duration
	log      *slog.Logger
}

// New returns a Lister that asks every interval, less up to a tenth of it so that workers which started together do not
// ask together.
func New(up Upstream, s Store, interval time.Duration, log *slog.Logger) *Lister {
	return &Lister{up: up, store: s, interval: interval, log: log}
}

// firstPause is that after a failure; it doubles with each further one, up to the interval.
const firstPause = time.Second

// Run asks at once, and again until ctx ends. What was written down stays while the upstream or the store is away.
func (l *Lister) Run(ctx context.Context) error {
	backoff := generate.Backoff{Base: firstPause, Max: l.interval}
	for failures := 0; ; {
		pause := l.interval - rand.N(l.interval/10+1)
		if err := l.list(ctx); err == nil {
			failures = 0
		} else {
			failures++
			pause = backoff.After(failures, completion.AsError(err))
			if failures == 1 && ctx.Err() == nil {
				l.log.Warn("models not listed, trying again", "upstream", l.up.Name(), "error", err)
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *Lister) list(ctx context.Context) error {
	models, err := l.up.Models(ctx)
	if err != nil {
		return fmt.Errorf("ask for models: %w", err)
	}
	return l.store.SetModels(ctx, completion.ModelList{Upstream: l.up.Name(), Models: models, Native: l.up.Native(), SeenAt: time.Now()})
}
