package eventlog

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/completion"
)

const (
	// liveEvents bounds the live events that wait for a slow reader. More are dropped, and read from the log later.
	liveEvents = 256
	// defaultSilence is after how long without an event a reader looks for itself.
	defaultSilence = 10 * time.Second
	// replicaTries is how often a reader looks again for what it has heard of but does not find: in a cluster a replica
	// that lags behind may have answered.
	replicaTries = 3
)

// Feed is one reader's subscription to a job. It hears what is appended from the moment it was made.
type Feed struct {
	nc      *nats.Conn
	sub     *nats.Subscription
	live    chan *nats.Msg
	status  chan nats.Status
	silence time.Duration
	past    past
	dropped int
}

// Subscribe returns a Feed of the job's events, for a caller that must listen before it sets the job going. The caller
// closes it.
func (l *Log) Subscribe(ctx context.Context, ref completion.Ref) (*Feed, error) {
	p, err := locate(ref)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("subscribe: %w", context.Cause(ctx))
	}
	return subscribe(l.nc, ref, l.opts.Silence, &stream{log: l, ref: ref, place: p})
}

// subscribe does not wait for the server: the first look at the past travels behind the subscription on the same
// connection, so whatever is stored later is also heard.
func subscribe(nc *nats.Conn, ref completion.Ref, silence time.Duration, from past) (*Feed, error) {
	f := &Feed{nc: nc, live: make(chan *nats.Msg, liveEvents), silence: silence, past: from}
	var err error
	if f.sub, err = nc.ChanSubscribe(ref.Subject(), f.live); err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", ref.Subject(), err)
	}
	f.status = nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	return f, nil
}

// Close ends the subscription.
func (f *Feed) Close() {
	_ = f.sub.Unsubscribe() // fails only when the connection is closed, which ends it too
	f.nc.RemoveStatusListener(f.status)
}

// Follow yields the job's records; see completion.Log. It holds one core subscription and room for 256 events.
func (l *Log) Follow(ctx context.Context, ref completion.Ref, after int64) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		f, err := l.Subscribe(ctx, ref)
		if err != nil {
			yield(completion.Record{}, err)
			return
		}
		defer f.Close()
		f.Records(ctx, after)(yield)
	}
}

// Records yields the job's records with a seq above after, each once and in order, ending after the final one. It ends
// with an error when ctx does (its cause) or the connection is closed for good. For one goroutine at a time; it may be
// called again after the loop was left.
func (f *Feed) Records(ctx context.Context, after int64) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		m := &merge{last: after, yield: yield}
		err := f.past.catchUp(ctx, m, first)
		if err == nil && !m.done() {
			err = f.run(ctx, m)
		}
		f.report(m, err)
	}
}

// Fresh is Records for a job that was set going after the Feed was made: all of it is heard, so it looks for what was before
// only if something is missing.
func (f *Feed) Fresh(ctx context.Context) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		m := &merge{yield: yield}
		f.report(m, f.run(ctx, m))
	}
}

// report tells a reader that is still there why it ends early.
func (f *Feed) report(m *merge, err error) {
	if err != nil && !m.done() {
		m.yield(completion.Record{}, fmt.Errorf("follow %s: %w", f.sub.Subject, err))
	}
}

func (f *Feed) run(ctx context.Context, m *merge) error {
	quiet := time.NewTimer(f.wait(m))
	defer quiet.Stop()
	for {
		var held completion.Record
		var why reason
		select {
		case msg := <-f.live:
			held, why = f.take(m, msg)
		case s := <-f.status:
			if s == nats.CLOSED {
				return nats.ErrConnectionClosed
			}
			why = doubt
		case <-quiet.C:
			why = silence
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if why == none && len(f.live) == 0 && f.lost() {
			why = doubt
		}
		if err := f.fill(ctx, m, why, held); err != nil || m.done() {
			return err
		}
		quiet.Reset(f.wait(m))
	}
}

// wait is how long f waits for the next event before it looks for itself.
func (f *Feed) wait(m *merge) time.Duration {
	if m.soon {
		m.soon = false
		return min(grace, f.silence)
	}
	return f.silence
}

// take adds a live message if it is the next one. If something is missing before it, it is returned.
func (f *Feed) take(m *merge, msg *nats.Msg) (held completion.Record, why reason) {
	r, ok := head(msg.Data)
	switch {
	case !ok:
	case r.Seq > m.last+1:
		return r, hole
	default:
		m.add(r)
	}
	return held, none
}

// lost reports whether live messages were dropped since it was asked last.
func (f *Feed) lost() bool {
	n, err := f.sub.Dropped()
	if err != nil || n == f.dropped {
		return false
	}
	f.dropped = n
	return true
}

// fill looks at the past if there is a reason, and then adds held, which was heard live. What the log does not have
// before held by then, it no longer has.
func (f *Feed) fill(ctx context.Context, m *merge, why reason, held completion.Record) error {
	if why == none || m.done() {
		return nil
	}
	for n := range replicaTries {
		if err := f.past.catchUp(ctx, m, why); err != nil || m.done() || held.Seq <= m.last {
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
	m.add(held)
	return nil
}
