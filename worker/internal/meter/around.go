package meter

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/shared/completion"
	"sluice/worker/internal/generate"
)

// Upstream returns up with the calls of a lane observed. A call that its caller gives up is no error of the upstream's.
func (m *Meter) Upstream(up generate.Upstream, lane completion.Lane) generate.Upstream {
	return &upstream{Upstream: up, meter: m, open: m.streams.WithLabelValues(m.upstream), first: m.firstToken.WithLabelValues(string(lane), m.upstream)}
}

type upstream struct {
	generate.Upstream

	meter *Meter
	open  prometheus.Gauge
	first prometheus.Observer
}

// Stream is generate.Upstream's.
func (u *upstream) Stream(ctx context.Context, e completion.Endpoint, request json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		u.open.Inc()
		defer u.open.Dec()
		begin, begun := time.Now(), false
		for chunk, err := range u.Upstream.Stream(ctx, e, request) {
			switch {
			case err != nil:
				u.failed(ctx, err)
			case !begun:
				begun = true
				u.first.Observe(time.Since(begin).Seconds())
			}
			if !yield(chunk, err) {
				return
			}
		}
	}
}

func (u *upstream) failed(ctx context.Context, err error) {
	if context.Cause(ctx) == nil {
		u.meter.errors.WithLabelValues(u.meter.upstream, string(completion.AsError(err).Code)).Inc()
	}
}

// Log returns l with its acknowledgements observed.
func (m *Meter) Log(l generate.Log) generate.Log { return &log{Log: l, publish: m.publish} }

type log struct {
	generate.Log

	publish prometheus.Observer
}

// Open is completion.Log's.
func (l *log) Open(ctx context.Context, ref completion.Ref) (completion.Tail, error) {
	t, err := l.Log.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	return newTail(t, l.publish), nil
}

// Begin is generate.Log's.
func (l *log) Begin(ref completion.Ref) (completion.Tail, error) {
	t, err := l.Log.Begin(ref)
	if err != nil {
		return nil, err
	}
	return newTail(t, l.publish), nil
}

type tail struct {
	completion.Tail

	publish prometheus.Observer
	offered time.Time   // when the offer was made that is open
	told    func(error) // who is told that it is settled
	settled func(error) // t.settle, made once for all offers
}

func newTail(t completion.Tail, publish prometheus.Observer) *tail {
	around := &tail{Tail: t, publish: publish}
	around.settled = around.settle
	return around
}

// Append is completion.Tail's.
func (t *tail) Append(ctx context.Context, e completion.Event) error {
	begin := time.Now()
	err := t.Tail.Append(ctx, e)
	t.observe(begin, err)
	return err
}

// Offer is completion.Tail's.
func (t *tail) Offer(ctx context.Context, e *completion.Event, settled func(error)) {
	t.offered, t.told = time.Now(), settled
	t.Tail.Offer(ctx, e, t.settled)
}

func (t *tail) settle(err error) {
	t.observe(t.offered, err)
	t.told(err)
}

func (t *tail) observe(begin time.Time, err error) {
	if err == nil {
		t.publish.Observe(time.Since(begin).Seconds())
	}
}
