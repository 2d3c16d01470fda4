package conductor_test

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"sluice/api/internal/conductor"
	"sluice/shared/completion"
)

// mortal is a store that the process dies with at one of its calls, before or after the store has done what it was asked:
// from then on nothing reaches the store, and the process' context has ended.
type mortal struct {
	conductor.Store
	die   context.CancelFunc
	calls atomic.Int64 // that are left
	after bool
}

var errDead = errors.New("the process is dead")

// call is one call.
func (m *mortal) call(f func() error) error {
	switch n := m.calls.Add(-1); {
	case n < 0:
		return errDead
	case n == 0 && !m.after:
		m.die()
		return errDead
	case n == 0:
		_ = f()
		m.die()
		return errDead
	default:
		return f()
	}
}

func (m *mortal) TakeBatches(ctx context.Context, holder string, ttl time.Duration, limit int, at time.Time) (list []completion.Batch, err error) {
	err = m.call(func() (err error) { list, err = m.Store.TakeBatches(ctx, holder, ttl, limit, at); return err })
	return list, err
}

func (m *mortal) HoldBatches(ctx context.Context, holder string, ttl time.Duration, at time.Time) (list []completion.Batch, err error) {
	err = m.call(func() (err error) { list, err = m.Store.HoldBatches(ctx, holder, ttl, at); return err })
	return list, err
}

func (m *mortal) LeaveBatches(ctx context.Context, holder string) error {
	return m.call(func() error { return m.Store.LeaveBatches(ctx, holder) })
}

func (m *mortal) SaveBatch(ctx context.Context, b *completion.Batch) error {
	return m.call(func() error { return m.Store.SaveBatch(ctx, b) })
}

func (m *mortal) MoveBatch(ctx context.Context, b *completion.Batch, to completion.BatchState, at time.Time) error {
	return m.call(func() error { return m.Store.MoveBatch(ctx, b, to, at) })
}

func (m *mortal) FeedBatch(ctx context.Context, b *completion.Batch, jobs []completion.Job) error {
	return m.call(func() error { return m.Store.FeedBatch(ctx, b, jobs) })
}

func (m *mortal) Lines(ctx context.Context, ref completion.Ref, lines []int) (list []completion.Job, err error) {
	err = m.call(func() (err error) { list, err = m.Store.Lines(ctx, ref, lines); return err })
	return list, err
}

func (m *mortal) LinesFrom(ctx context.Context, ref completion.Ref, after, upto, limit int) (list []completion.Job, err error) {
	err = m.call(func() (err error) { list, err = m.Store.LinesFrom(ctx, ref, after, upto, limit); return err })
	return list, err
}

func (m *mortal) OpenLines(ctx context.Context, ref completion.Ref, after, limit int) (list []completion.Job, err error) {
	err = m.call(func() (err error) { list, err = m.Store.OpenLines(ctx, ref, after, limit); return err })
	return list, err
}

func (m *mortal) AddFile(ctx context.Context, f completion.File) error {
	return m.call(func() error { return m.Store.AddFile(ctx, f) })
}

func (m *mortal) ReadyFile(ctx context.Context, tenant, id string, bytes int64) (f completion.File, err error) {
	err = m.call(func() (err error) { f, err = m.Store.ReadyFile(ctx, tenant, id, bytes); return err })
	return f, err
}

// flaky is a log that can be switched off: then what is asked of it has no answer, and is done or not.
type flaky struct {
	conductor.Events
	off  atomic.Bool
	deed atomic.Bool // what is asked while it is off is done all the same
	ref  func(completion.Event) completion.Ref
}

func (f *flaky) Resume(ctx context.Context, ref completion.Ref, seq int64) (completion.Tail, error) {
	if f.off.Load() {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	tail, err := f.Events.Resume(ctx, ref, seq)
	return &flakyTail{tail, f}, err
}

func (f *flaky) Read(ctx context.Context, ref completion.Ref) iter.Seq2[completion.Record, error] {
	return f.Events.Read(ctx, ref)
}

type flakyTail struct {
	completion.Tail
	log *flaky
}

func (t *flakyTail) Append(ctx context.Context, e completion.Event) error {
	if !t.log.off.Load() {
		return t.Tail.Append(ctx, e)
	}
	if t.log.deed.Load() {
		// The answer is lost: the tail knows nothing of it, as if another one had appended the same bytes.
		if other, err := t.log.Events.Resume(ctx, t.log.ref(e), t.Last().Seq); err == nil && other.Last().Seq == t.Last().Seq {
			_ = other.Append(ctx, e)
		}
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
