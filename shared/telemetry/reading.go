package telemetry

import (
	"context"
	"sync"
	"time"
)

const (
	// readLimit is how long a scrape waits for figures that a server has to be asked for.
	readLimit = time.Second
	// readKeep is for how long figures serve further scrapes.
	readKeep = time.Second
)

// Reading is figures that a server has to be asked for at a scrape: for a second at most, and not again within the second
// after. A server that does not answer gives no figures, instead of old ones. It is safe for concurrent use.
type Reading[T any] struct {
	read func(context.Context) (T, error)

	mu    sync.Mutex
	done  chan struct{} // closed when the read under way ends; nil: there is none
	since time.Time     // when the latest read began
	value T
	known bool
	at    time.Time // when the latest read ended
}

// NewReading returns a Reading that asks with read. A read that outlasts its context holds nobody up, and keeps the figures
// unknown until it returns.
func NewReading[T any](read func(context.Context) (T, error)) *Reading[T] {
	return &Reading[T]{read: read}
}

// Get returns the figures; known is false if there are none.
func (r *Reading[T]) Get() (value T, known bool) {
	done, since := r.begin()
	if done != nil {
		wait := time.NewTimer(time.Until(since.Add(readLimit)))
		defer wait.Stop()
		select {
		case <-done:
		case <-wait.C:
			return value, false
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value, r.known
}

// begin starts a read if one is due, and returns the one under way.
func (r *Reading[T]) begin() (done chan struct{}, since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil && (r.at.IsZero() || time.Since(r.at) >= readKeep) {
		r.done, r.since = make(chan struct{}), time.Now()
		go r.run(r.done)
	}
	return r.done, r.since
}

func (r *Reading[T]) run(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	value, err := r.read(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.value, r.known, r.at, r.done = value, err == nil, time.Now(), nil
	close(done)
}
