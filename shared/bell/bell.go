// Package bell rings across processes over core NATS: "there is work in this lane" and "stop this job". It promises
// speed, nothing else. A ring is not stored, not repeated and not acknowledged; one that nobody hears, or that is rung
// while the connection is down for long, is lost. Whoever listens must also look for itself from time to time: workers
// poll the queue, and learn of a cancel from the store when they next write.
package bell

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"sluice/shared/completion"
)

// maxPending bounds the rings that wait for one listener; more are dropped.
const maxPending = 64 << 10

// Bell rings and listens on one connection. It is safe for concurrent use.
type Bell struct{ nc *nats.Conn }

// New returns a Bell on nc, which stays the caller's to close.
func New(nc *nats.Conn) *Bell { return &Bell{nc: nc} }

// Wake tells every process that lane has work.
func (b *Bell) Wake(lane completion.Lane) { b.ring("wake." + string(lane)) }

// OnWake calls f whenever lane is rung, one call at a time, until stop. f must not block.
func (b *Bell) OnWake(lane completion.Lane, f func()) (stop func(), err error) {
	return b.on("wake."+string(lane), func(string) { f() })
}

// Cancel tells every process that the job shall stop.
func (b *Bell) Cancel(ref completion.Ref) { b.ring("cancel." + ref.Tenant + "." + ref.Job) }

// OnCancel calls f for every job that shall stop, one call at a time, until stop. f must not block.
func (b *Bell) OnCancel(f func(completion.Ref)) (stop func(), err error) {
	return b.on("cancel.*.*", func(subject string) {
		tenant, job, _ := strings.Cut(strings.TrimPrefix(subject, "cancel."), ".")
		f(completion.Ref{Tenant: tenant, Job: job})
	})
}

// ring drops the error on purpose: a ring that cannot be sent is one that nobody hears.
func (b *Bell) ring(subject string) { _ = b.nc.Publish(subject, nil) }

// on returns once the server knows of the subscription, so that no later ring is missed.
func (b *Bell) on(subject string, f func(subject string)) (stop func(), err error) {
	sub, err := b.nc.Subscribe(subject, func(m *nats.Msg) { f(m.Subject) })
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", subject, err)
	}
	stop = func() { _ = sub.Unsubscribe() } // fails only when the connection is closed, which stops it too
	if err := sub.SetPendingLimits(maxPending, -1); err != nil {
		stop()
		return nil, fmt.Errorf("listen on %s: %w", subject, err)
	}
	if b.nc.IsConnected() {
		if err := b.nc.Flush(); err != nil {
			stop()
			return nil, fmt.Errorf("listen on %s: %w", subject, err)
		}
	}
	return stop, nil
}
