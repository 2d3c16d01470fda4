package generate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/worker/internal/generate"
)

// setupLine is setup for a line of a batch, in the lane that the throttle holds back.
func setupLine(up *model) *bundle {
	b := setup(up)
	b.m.job.Lane, b.m.job.Batch, b.m.job.Line, b.m.job.Deadline = completion.LaneBatch, "batch_1", 7, time.Now().Add(24*time.Hour)
	b.gen = generate.New(b.m, b.m, up, b.options("w", b.throttle), slog.New(slog.DiscardHandler))
	return b
}

func TestHandle_LineIsQuiet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  error
		want completion.State
	}{
		"completed": {nil, completion.Completed},
		"failed":    {completion.NewError(completion.CodeUpstreamRejected, ""), completion.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupLine(&model{words: []string{"a", "b"}, end: c.end})
				require.NoError(t, b.handle(t.Context()))
				require.Equal(t, []string{"store " + string(c.want)}, b.m.acts)
				require.Equal(t, "ab", b.content())
				require.False(t, b.m.job.Unsaid)
				require.Zero(t, b.m.opened, "it does not go to the log at all")
				require.Len(t, b.m.ends, 1)
				require.Equal(t, 7, b.m.ends[0].Line)
			})
		})
	}
}

func TestHandle_LineIsTriedAgainQuietly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupLine(&model{words: []string{"a"}, end: completion.NewError(completion.CodeCut, "")})
		var again *queue.Again
		require.ErrorAs(t, b.handle(t.Context()), &again)
		require.Equal(t, 1, b.m.job.Tries)
		require.Empty(t, b.m.events)
		require.Empty(t, b.m.ends)
		b.up.end = nil
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.Equal(t, []string{"store queued", "store completed"}, b.m.acts)
	})
}

// TestHandle_I2_LineIsKeptInItsLog has the store away when a line's answer is whole. All of it is in the line's own log
// then, and closed when it is stored.
func TestHandle_I2_LineIsKeptInItsLog(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"until the store is back": false, "and the worker dies": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupLine(&model{words: []string{"a", "b"}})
				b.m.storing = errors.New("connection refused")
				first := make(chan error, 1)
				go func() { first <- b.handle(t.Context()) }()
				time.Sleep(time.Minute) // the fake clock passes many tries to store
				synctest.Wait()
				require.Equal(t, "ab", b.m.text(), "I4")
				require.Equal(t, completion.EventStoring, b.m.events[len(b.m.events)-1].Type)
				b.m.set(func(m *memory) { m.storing = nil })
				if killed {
					require.NoError(t, b.other("w2").Handle(t.Context(), completion.Task{Ref: b.m.job.Ref(), Lane: b.m.job.Lane}))
					require.ErrorIs(t, <-first, queue.ErrNotMine)
				} else {
					require.NoError(t, <-first)
					require.Equal(t, completion.EventCompleted, b.m.events[len(b.m.events)-1].Type)
				}
				require.Equal(t, completion.Completed, b.m.job.State)
				require.Equal(t, "ab", b.content())
				require.Equal(t, 1, b.up.calls, "paid once")
			})
		})
	}
}

// TestHandle_I4_LineIsKeptByHalves has the log fail after it has taken a part of what is to be kept.
func TestHandle_I4_LineIsKeptByHalves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupLine(&model{words: []string{"a", "b"}})
		b.m.storing, b.m.room = errors.New("connection refused"), 1
		time.AfterFunc(time.Minute, func() { b.m.set(func(m *memory) { m.storing, m.room = nil, 0 }) })
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State)
		require.Equal(t, "ab", b.m.text(), "it is said again from the start")
		require.Equal(t, completion.EventCompleted, b.m.events[len(b.m.events)-1].Type)
	})
}

// refused is what an upstream says that is asked too much.
func refused(after time.Duration) *completion.Error {
	failure := completion.NewError(completion.CodeRateLimited, "")
	failure.RetryAfter = completion.Wait(after)
	return failure
}

func TestHandle_ThrottledLineCostsNoTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupLine(&model{end: refused(3 * time.Second)})
		var again *queue.Again
		for n := range 40 {
			require.ErrorAs(t, b.handle(t.Context()), &again)
			require.GreaterOrEqual(t, again.After, 3*time.Second)
			require.Equal(t, completion.Queued, b.m.job.State)
			require.Equal(t, n+1, b.m.job.Returned)
			require.Equal(t, n+1, b.up.calls, "each waits for the pause before it claims")
		}
		require.Zero(t, b.m.job.Tries)
		require.GreaterOrEqual(t, again.After, 5*time.Second, "a line that is refused again and again leaves the lane to others")
		b.up.end = nil
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, completion.Completed, b.m.job.State, "nor does it count as lost")
	})
}

func TestHandle_ThrottledWithoutDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupLine(&model{end: refused(0)})
		b.m.job.Deadline = time.Time{}
		var again *queue.Again
		require.ErrorAs(t, b.handle(t.Context()), &again)
		require.ErrorAs(t, b.handle(t.Context()), &again)
		require.NoError(t, b.handle(t.Context()), "what has no deadline must have another end")
		require.Equal(t, completion.Failed, b.m.job.State)
		require.Equal(t, completion.CodeRateLimited, b.m.job.Error.Code)
	})
}

func TestHandle_DrainBeforeTheClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupLine(&model{end: refused(time.Hour)})
		require.Error(t, b.handle(t.Context()))
		for _, stop := range []func(cancel context.CancelCauseFunc){
			func(cancel context.CancelCauseFunc) { cancel(queue.ErrStopping) },
			func(context.CancelCauseFunc) { b.throttle.Close() },
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Minute, func() { stop(cancel) })
			began := time.Now()
			var again *queue.Again
			require.ErrorAs(t, b.handle(ctx), &again)
			require.Equal(t, &queue.Again{}, again, "another worker may have it at once")
			require.Equal(t, time.Minute, time.Since(began))
			require.Equal(t, 1, b.m.job.Attempt, "it was not claimed")
			cancel(nil)
		}
	})
}

// TestHandle_I10_InteractiveNeverWaits: its own refusal slows the batch lane down, and not itself.
func TestHandle_I10_InteractiveNeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, line := setup(&model{end: refused(time.Minute)}), setupLine(&model{words: []string{"a"}})
		line.gen = generate.New(line.m, line.m, line.up, line.options("w", b.throttle), slog.New(slog.DiscardHandler))
		var again *queue.Again
		require.ErrorAs(t, b.handle(t.Context()), &again)
		require.Equal(t, 1, b.m.job.Tries, "as before")
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- line.handle(t.Context()) }()
		b.up.end = nil
		require.NoError(t, b.handle(t.Context()))
		require.Zero(t, time.Since(began))
		require.NoError(t, <-done)
		require.Equal(t, time.Minute+time.Second, time.Since(began))
	})
}

func TestHandle_LineTooLargeForAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		words := make([]string, 100)
		for i := range words {
			words[i] = fmt.Sprintf("%04000d", i)
		}
		b := setupLine(&model{words: words})
		b.m.job.Deadline = time.Time{}
		b.m.storing = errors.New("connection refused")
		options := b.options("w", b.throttle)
		options.GenerationLimit = time.Hour
		b.gen = generate.New(b.m, b.m, b.up, options, slog.New(slog.DiscardHandler))
		time.AfterFunc(5*time.Minute, func() { b.m.set(func(m *memory) { m.storing = nil }) })
		require.NoError(t, b.handle(t.Context()))
		require.Equal(t, b.content(), b.m.text(), "its chunks are in the log")
	})
}
