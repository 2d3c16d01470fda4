package generate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/worker/internal/generate"
	"sluice/worker/internal/throttle"
)

// memory is a store of one job and its log, with switches for outages. The real ones have contract suites; here the
// order of what an attempt does to them matters.
type memory struct {
	mu      sync.Mutex
	job     completion.Job
	events  []completion.Event
	acts    []string // what was done, in order
	storing error    // answer of writes to the store, if not nil
	logging error    // answer of the log, if not nil
	lost    bool     // the next append finds the log empty
	room    int      // appends after so many wait for ever; 0: none does
	unheard int      // answers to claims that get lost
	sealed  int
	opened  int              // how often the log was, or was taken to be empty
	ends    []completion.Job // those that were told
	tries   []int            // attempts that another follows, as told
	claims  int              // as told
	losses  int              // the same
	between func(*memory)    // happens once, after the log was opened
}

func (m *memory) Claim(_ context.Context, _ completion.Ref, worker string, at time.Time) (completion.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.job.State.Final() {
		return m.job, completion.ErrFinal
	}
	m.job.State, m.job.Worker, m.job.StartedAt = completion.Running, worker, at
	m.job.Attempt++
	if m.unheard > 0 {
		m.unheard--
		return completion.Job{}, completion.NewError(completion.CodeUnavailable, "")
	}
	return m.job, nil
}

func (m *memory) Retry(_ context.Context, _ completion.Ref, attempt int, r completion.Retry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.storing != nil:
		return m.storing
	case m.job.Attempt != attempt:
		return completion.ErrStale
	case m.job.CancelRequested:
		return completion.ErrCancelled
	}
	m.acts = append(m.acts, "store queued")
	m.job.State, m.job.RetryAt, m.job.Error = completion.Queued, r.RetryAt, r.Error
	if r.Counted {
		m.job.Tries++
	} else {
		m.job.Returned++
	}
	return nil
}

func (m *memory) Finish(_ context.Context, _ completion.Ref, attempt int, o completion.Outcome) (completion.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.storing != nil {
		return completion.Job{}, m.storing
	}
	if m.job.Attempt != attempt {
		return completion.Job{}, completion.ErrStale
	}
	m.acts = append(m.acts, "store "+string(o.State))
	m.job.State, m.job.Result, m.job.Usage, m.job.Error, m.job.FinishReason = o.State, o.Result, o.Usage, o.Error, o.FinishReason
	m.job.Unsaid = o.Unsaid
	return m.job, nil
}

func (m *memory) Open(ctx context.Context, _ completion.Ref) (completion.Tail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if m.logging != nil {
		return nil, m.logging
	}
	m.opened++
	t := &tail{m: m, next: len(m.events) + 1}
	if n := len(m.events); n > 0 {
		t.last, t.typ = m.events[n-1].Attempt, m.events[n-1].Type
	}
	if m.between != nil {
		m.between(m)
		m.between = nil
	}
	return t, nil
}

func (m *memory) Begin(completion.Ref) (completion.Tail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opened++
	t := &tail{m: m, next: 1}
	if m.between != nil {
		m.between(m)
		m.between = nil
	}
	return t, nil
}

func (m *memory) Get(context.Context, completion.Ref) (completion.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.job, m.storing
}

func (m *memory) Read(context.Context, completion.Ref) iter.Seq2[completion.Record, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := slices.Clone(m.events)
	return func(yield func(completion.Record, error) bool) {
		for i, e := range events {
			e.Seq = int64(i) + 1
			data, err := e.Encode()
			if !yield(completion.Record{Seq: e.Seq, Attempt: e.Attempt, Type: e.Type, Data: data}, err) {
				return
			}
		}
	}
}

func (m *memory) Follow(context.Context, completion.Ref, int64) iter.Seq2[completion.Record, error] {
	panic("an attempt does not follow")
}

func (m *memory) Seal(ctx context.Context, _ completion.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m.sealed++
	return nil
}

func (m *memory) ended(job *completion.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ends = append(m.ends, *job)
}

func (m *memory) retried(job *completion.Job, _ bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries = append(m.tries, job.Attempt)
}

func (m *memory) claimed(*completion.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims++
}

func (m *memory) wasted(*completion.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.losses++
}

type tail struct {
	m    *memory
	next int
	last int // attempt of the last event
	typ  completion.EventType
}

func (t *tail) Last() completion.Record {
	return completion.Record{Seq: int64(t.next - 1), Attempt: t.last, Type: t.typ}
}

func (t *tail) Append(ctx context.Context, e completion.Event) error {
	for t.away() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.m.lost {
		t.m.lost = false
		return completion.ErrLogLost
	}
	if t.next != len(t.m.events)+1 {
		return completion.ErrStale
	}
	e.Seq, e.Chunks = int64(t.next), slices.Clone(e.Chunks)
	t.next++
	t.m.events = append(t.m.events, e)
	t.m.acts = append(t.m.acts, "publish "+string(e.Type))
	return nil
}

func (t *tail) Offer(ctx context.Context, e *completion.Event, settled func(error)) {
	go func() { settled(t.Append(ctx, *e)) }()
}

func (t *tail) away() bool {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	return t.m.logging != nil || t.m.room > 0 && len(t.m.events) >= t.m.room
}

func (m *memory) set(change func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// text is what the deltas since the last started event say.
func (m *memory) text() string {
	var b strings.Builder
	for _, e := range m.events {
		if e.Type == completion.EventStarted {
			b.Reset()
		}
		for _, c := range e.Chunks {
			b.WriteString(gjson.GetBytes(c, "choices.0.delta.content").String())
		}
	}
	return b.String()
}

// model says words, one a second, and then what end says.
type model struct {
	words []string
	end   error
	calls int
}

func (*model) Name() string { return "test" }

func (u *model) Stream(ctx context.Context, _ completion.Endpoint, _ json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		u.calls++
		for _, w := range u.words {
			select {
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			case <-time.After(time.Second):
			}
			if !yield(fmt.Appendf(nil, `{"id":"c","choices":[{"index":0,"delta":{"content":%q}}]}`, w), nil) {
				return
			}
		}
		if u.end != nil {
			yield(nil, u.end)
			return
		}
		yield([]byte(`{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"total_tokens":2}}`), nil)
	}
}

type bundle struct {
	m   *memory
	up  *model
	gen *generate.Generator

	throttle *throttle.Throttle
}

func setup(up *model) *bundle {
	m := &memory{job: completion.Job{ID: "job_1", Tenant: "t", Lane: completion.LaneInteractive, State: completion.Queued, Model: "m", Request: []byte(`{"messages":[{"role":"user","content":"hello"}]}`)}}
	b := &bundle{m: m, up: up, throttle: throttle.New(1, func(int) time.Duration { return time.Second })}
	b.gen = b.other("w")
	return b
}

// other is the generator of another worker.
func (b *bundle) other(name string) *generate.Generator {
	return generate.New(b.m, b.m, b.up, b.options(name, throttle.Beside{Throttle: b.throttle}), slog.New(slog.DiscardHandler))
}

func (b *bundle) options(worker string, t generate.Throttle) generate.Options {
	return generate.Options{
		Worker: worker, Attempts: 3, GenerationLimit: time.Minute, PublishLimit: time.Minute,
		Backoff: generate.Backoff{Base: time.Second, Max: 10 * time.Second}, Throttle: t, Claimed: b.m.claimed, Ended: b.m.ended, Retried: b.m.retried, Lost: b.m.wasted,
	}
}

func (b *bundle) handle(ctx context.Context) error {
	return b.gen.Handle(ctx, completion.Task{Ref: b.m.job.Ref(), Lane: b.m.job.Lane})
}

func TestHandle_Completes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c"}})
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.Equal(t, "abc", gjson.GetBytes(b.m.job.Result, "choices.0.message.content").String())
		require.Equal(t, "abc", b.m.text(), "I4")
		require.JSONEq(t, `{"total_tokens":2}`, string(b.m.job.Usage))
		require.Equal(t, "publish completed", b.m.acts[len(b.m.acts)-1])
		require.Contains(t, b.m.acts, "store completed", "I6: before the final event")
		require.Equal(t, "publish started", b.m.acts[0])
		require.Zero(t, b.gen.Running())
	})
}

func TestHandle_I2_StoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a"}})
		b.m.storing = errors.New("connection refused")
		time.AfterFunc(10*time.Minute, func() { b.m.set(func(m *memory) { m.storing = nil }) })
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.Equal(t, 1, b.up.calls, "the upstream was asked once")
	})
}

// TestHandle_I1_ClaimsAnswerIsLost: the job belongs to this worker then, and to no other while this one lives.
func TestHandle_I1_ClaimsAnswerIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a"}})
		b.m.unheard = 3
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.Equal(t, 4, b.m.job.Attempt)
		require.Equal(t, 1, b.up.calls)

		b = setup(&model{})
		b.m.unheard = 1e9
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		var again *queue.Again
		require.ErrorAs(t, b.handle(ctx), &again, "a stopping worker gives the task back")
	})
}

func TestHandle_LogAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c", "d"}})
		b.m.logging = errors.New("no responders")
		time.AfterFunc(20*time.Second, func() { b.m.set(func(m *memory) { m.logging = nil }) })
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, "abcd", b.m.text(), "what was generated meanwhile is published")
		require.Equal(t, completion.EventCompleted, b.m.events[len(b.m.events)-1].Type)
		require.Len(t, b.m.events, 3, "it travels together")
	})
}

func TestHandle_LogAwayForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a"}})
		b.m.logging = errors.New("no responders")
		require.NoError(t, b.handle(t.Context()), "the answer is stored; the first viewer has the log repaired")
		require.Equal(t, completion.Completed, b.m.job.State)
	})
}

func TestHandle_LogLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c"}})
		time.AfterFunc(1500*time.Millisecond, func() { b.m.set(func(m *memory) { m.lost = true }) })
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, "abc", b.m.text(), "all was said again after a started event")
		var started int
		for _, e := range b.m.events {
			if e.Type == completion.EventStarted {
				started++
			}
		}
		require.Equal(t, 2, started)
	})
}

func TestHandle_Retries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failure := completion.NewError(completion.CodeRateLimited, "")
		failure.RetryAfter = completion.Wait(30 * time.Second)
		b := setup(&model{words: []string{"a"}, end: failure})
		var again *queue.Again
		require.ErrorAs(t, b.handle(t.Context()), &again)
		require.Equal(t, 30*time.Second, again.After, "Retry-After is the least")
		require.Equal(t, completion.Queued, b.m.job.State)
		require.Equal(t, 1, b.m.job.Tries)
		require.Equal(t, "publish retrying", b.m.acts[len(b.m.acts)-1])
		require.Contains(t, b.m.acts, "store queued", "before the event that says so")
		last := b.m.events[len(b.m.events)-1]
		require.Equal(t, completion.CodeRateLimited, last.Error.Code)
		require.Equal(t, b.m.job.RetryAt, *last.RetryAt)

		require.ErrorAs(t, b.handle(t.Context()), &again)
		require.NoError(t, b.handle(t.Context()), "the third try was the last")
		require.Equal(t, completion.Failed, b.m.job.State)
		require.Equal(t, []int{1, 2}, b.m.tries, "the last is no retry")
		require.Equal(t, completion.CodeRateLimited, b.m.job.Error.Code)
		require.Equal(t, "a", gjson.GetBytes(b.m.job.Result, "choices.0.message.content").String(), "the partial text is kept")
		require.Equal(t, completion.EventFailed, b.m.events[len(b.m.events)-1].Type)
		require.Equal(t, 3, b.up.calls)
	})
}

func TestHandle_PermanentFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{end: completion.NewError(completion.CodeUpstreamRejected, "no such model")})
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Failed, b.m.job.State)
		require.Equal(t, 1, b.up.calls)
	})
}

func TestHandle_I9_Cancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c", "d"}})
		time.AfterFunc(2500*time.Millisecond, func() { b.gen.Cancel(b.m.job.Ref()) })
		begin := time.Now()
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, 2500*time.Millisecond, time.Since(begin), "the upstream is left at once")
		require.Equal(t, completion.Cancelled, b.m.job.State)
		require.Equal(t, "ab", gjson.GetBytes(b.m.job.Result, "choices.0.message.content").String())
		require.Equal(t, "ab", b.m.text())
		require.True(t, gjson.GetBytes(b.m.job.Usage, "estimated").Bool(), "what was spent is kept")
		require.Equal(t, completion.EventCancelled, b.m.events[len(b.m.events)-1].Type)
	})
}

func TestHandle_I9_CancelBeforeTheFailureIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{end: completion.NewError(completion.CodeCut, "")})
		b.m.job.CancelRequested = false
		time.AfterFunc(time.Second/2, func() { b.m.set(func(m *memory) { m.job.CancelRequested = true }) })
		b.up.words = []string{"a"}
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Cancelled, b.m.job.State, "a cancelled job is not retried")
	})
}

func TestHandle_I9_CancelledWhileItsWorkerWasDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a"}})
		b.m.job.CancelRequested = true
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Cancelled, b.m.job.State)
		require.Zero(t, b.up.calls, "nothing is spent on it")
	})
}

func TestHandle_I5_TakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c", "d"}})
		time.AfterFunc(1500*time.Millisecond, func() {
			b.m.set(func(m *memory) {
				m.job.Attempt++
				m.events = append(m.events, completion.Event{Type: completion.EventStarted, Attempt: m.job.Attempt})
			})
		})
		require.ErrorIs(t, b.handle(t.Context()), queue.ErrNotMine)
		require.Equal(t, 1, b.m.losses, "it is told of once")
		require.Empty(t, b.m.ends)
		require.Equal(t, completion.Running, b.m.job.State, "nothing of the old attempt is stored")
		require.Equal(t, completion.EventStarted, b.m.events[len(b.m.events)-1].Type, "nor published")
	})
}

// The zombie of an earlier attempt may append between the new attempt's look at the log and its first event.
func TestHandle_I5_ZombieGetsInBetween(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a"}})
		b.m.job.Attempt = 1
		b.m.between = func(m *memory) {
			m.events = append(m.events, completion.Event{Type: completion.EventDelta, Attempt: 1})
		}
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.Equal(t, 2, b.m.events[1].Attempt)
		require.Equal(t, "a", b.m.text())
	})
}

func TestHandle_I5_TakenOverBeforeTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a"}})
		b.m.storing = errors.New("connection refused")
		time.AfterFunc(time.Minute, func() { b.m.set(func(m *memory) { m.storing = nil; m.job.Attempt++ }) })
		require.ErrorIs(t, b.handle(t.Context()), queue.ErrNotMine)
		require.Equal(t, 1, b.m.losses, "it is told of once")
		require.Empty(t, b.m.ends)
		require.Equal(t, completion.Running, b.m.job.State)
	})
}

func TestHandle_Drain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b", "c", "d"}})
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(2500*time.Millisecond, func() { stop(queue.ErrStopping) })
		var again *queue.Again
		require.ErrorAs(t, b.handle(ctx), &again)
		require.Zero(t, again.After)
		require.Equal(t, completion.Queued, b.m.job.State)
		require.Zero(t, b.m.job.Tries, "a drain costs no try")
		last := b.m.events[len(b.m.events)-1]
		require.Equal(t, completion.EventRetrying, last.Type)
		require.Equal(t, completion.CodeDraining, last.Error.Code)
	})
}

func TestHandle_DrainWithTheStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a"}})
		b.m.storing = errors.New("connection refused")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { stop(queue.ErrStopping) })
		var again *queue.Again
		require.ErrorAs(t, b.handle(ctx), &again, "the worker stops in time, the task comes back")
	})
}

func TestHandle_GenerationLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: make([]string, 100)})
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Failed, b.m.job.State)
		require.Equal(t, completion.CodeTimeout, b.m.job.Error.Code)
	})
}

func TestHandle_DeliveredTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{words: []string{"a", "b"}})
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, b.handle(t.Context())) })
		synctest.Wait()
		var again *queue.Again
		require.ErrorAs(t, b.handle(t.Context()), &again, "it runs here already")
		wg.Wait()
		require.Equal(t, 1, b.up.calls)
		require.NoError(t, b.handle(t.Context()), "a final job's task is done with")
		require.Equal(t, 1, b.up.calls)
		require.Equal(t, 1, b.m.sealed, "its log is closed")
	})
}

func TestHandle_GarbageChunk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(&model{})
		options := b.options("w", b.throttle)
		options.Attempts = 1
		b.gen = generate.New(b.m, b.m, garbage{}, options, slog.New(slog.DiscardHandler))
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.CodeUpstreamGarbage, b.m.job.Error.Code)
	})
}

type garbage struct{}

func (garbage) Name() string { return "garbage" }
func (garbage) Stream(context.Context, completion.Endpoint, json.RawMessage) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) { yield([]byte(`[1]`), nil) }
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := generate.Backoff{Base: time.Second, Max: 10 * time.Second}
	for tries, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 5: 10 * time.Second, 500: 10 * time.Second} {
		d := b.After(tries, &completion.Error{})
		require.LessOrEqual(t, d, most)
		require.GreaterOrEqual(t, d, most/2)
	}
	require.Equal(t, time.Hour, b.After(1, &completion.Error{RetryAfter: completion.Wait(time.Hour)}))
}
