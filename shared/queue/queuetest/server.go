package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

func wakeEndsTheWait(t *testing.T, b *bundle) {
	got := make(chan completion.Task, 1)
	b.serve(t, into(got))
	b.serve(t, into(got))
	for range 50 {
		task := newTask(completion.LaneInteractive)
		b.enqueue(t, task)
		require.Equal(t, task, receive(t, got), "the servers poll once in an hour")
		b.becomes(t, queue.Depth{}) // often both wait again by now
	}
}

func againIsNotCounted(t *testing.T, b *bundle) {
	const times = 35 // more than asynq's default limit
	got := make(chan completion.Task, 1)
	left := atomic.Int32{}
	left.Store(times)
	b.serve(t, func(_ context.Context, task completion.Task) error {
		got <- task
		if left.Add(-1) >= 0 {
			return fmt.Errorf("attempt: %w", &queue.Again{After: never, Err: errors.New("busy")})
		}
		return nil
	})
	task := newTask(completion.LaneInteractive)
	b.enqueue(t, task)
	for range times {
		receive(t, got)
		b.becomes(t, queue.Depth{Retry: 1})
		require.Zero(t, b.retried(t, task))
		require.NoError(t, b.insp.RunTask(string(task.Lane), id(task))) // an hour passes
		b.ring(task.Lane)
	}
	receive(t, got)
	b.becomes(t, queue.Depth{})
}

func errorsComeAgain(t *testing.T, b *bundle) {
	answers := []func() error{
		func() error { return errors.New("no database") },
		func() error { return fmt.Errorf("cannot go on: %w", asynq.SkipRetry) },
		func() error { return fmt.Errorf("cannot go on: %w", asynq.RevokeTask) },
		func() error { panic("a fault in the handler") },
		func() error { return &queue.Again{} },
		func() error { return nil },
	}
	started, next := make(chan struct{}), make(chan func() error)
	b.serve(t, func(context.Context, completion.Task) error {
		started <- struct{}{}
		return (<-next)()
	})
	task := newTask(completion.LaneInteractive)
	b.enqueue(t, task)
	for i, answer := range answers {
		require.Eventually(t, func() bool {
			_ = b.insp.RunTask(string(task.Lane), id(task)) // spares the backoff, if it waits for it now
			b.ring(task.Lane)
			select {
			case <-started:
				return true
			default:
				return false
			}
		}, patience, time.Millisecond)
		require.Equal(t, min(i, 4), b.retried(t, task), "errors and panics make the backoff grow")
		next <- answer
	}
	b.becomes(t, queue.Depth{})
}

func poisonIsArchived(t *testing.T, b *bundle) {
	got := make(chan completion.Task, 1)
	b.serve(t, into(got))
	tasks := newTasks(4, completion.LaneInteractive)
	b.poison(t, tasks[0], "completion", `{"v":2,"tenant":"acme","job":"x"}`)
	b.poison(t, tasks[1], "completion", `{"v":1,"tenant":"*","job":"x"}`)
	b.poison(t, tasks[2], "completion", `junk`)
	b.poison(t, tasks[3], "something", `{"v":1,"tenant":"acme","job":"x"}`)
	b.becomes(t, queue.Depth{Archived: 4})
	listed, err := b.client.Poison(t.Context(), completion.LaneInteractive)
	require.NoError(t, err)
	require.Len(t, listed, 4)
	for _, p := range listed {
		require.Contains(t, p.Why, "cannot be read")
		require.WithinDuration(t, time.Now(), p.At, patience)
	}
	none, err := b.client.Poison(t.Context(), completion.LaneBatch)
	require.NoError(t, err)
	require.Empty(t, none)
	b.enqueue(t, newTask(completion.LaneInteractive))
	receive(t, got)
	for _, err := range b.client.EnqueueAll(t.Context(), tasks) {
		require.NoError(t, err, "the job is enqueued anew")
	}
	for range tasks {
		receive(t, got)
	}
	b.becomes(t, queue.Depth{})
}

func ackIsRepaired(t *testing.T, b *bundle) {
	faults := &breakage{errs: []error{errLine, reply("READONLY You can't write against a read only replica."), reply("LOADING Redis is loading"), errLine}}
	b.rc.AddHook(faults)
	var n atomic.Int32
	b.serve(t, func(context.Context, completion.Task) error { n.Add(1); return nil })
	b.enqueue(t, newTask(completion.LaneInteractive))
	require.Eventually(t, func() bool { return faults.left() == 0 }, patience, time.Millisecond)
	b.becomes(t, queue.Depth{})
	require.EqualValues(t, 1, n.Load(), "the finished task does not run again")
}

func notMineIsLeftAlone(t *testing.T, b *bundle) {
	task := newTask(completion.LaneInteractive)
	b.enqueue(t, task)
	asked := make(chan struct{})
	stop := b.serve(t, func(context.Context, completion.Task) error {
		close(asked)
		return fmt.Errorf("claim: %w", queue.ErrNotMine)
	})
	receive(t, asked)
	stop()
	require.Equal(t, queue.Depth{Active: 1}, b.depth(t), "it is still there after the server's last act")
	n, err := b.client.Revive(t.Context(), task.Lane, 0)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	got := make(chan completion.Task, 1)
	b.serve(t, into(got))
	require.Equal(t, task, receive(t, got))
	b.becomes(t, queue.Depth{}) // this time it is acknowledged
}

// lostLease uses asynq's cancel, which ends a delivery in the same way as a lost lease does.
func lostLease(t *testing.T, b *bundle) {
	started, finish := make(chan context.Context, 2), make(chan error)
	var busy, most atomic.Int32
	b.serve(t, func(ctx context.Context, _ completion.Task) error {
		most.Store(max(most.Load(), busy.Add(1)))
		defer busy.Add(-1)
		started <- ctx
		return <-finish
	}, func(c *queue.Config) { c.Slots = 1 })
	first, second := newTask(completion.LaneInteractive), newTask(completion.LaneInteractive)
	b.enqueue(t, first)
	ctx := receive(t, started)
	require.Eventually(t, func() bool { // the first cancels may come before asynq listens
		require.NoError(t, b.insp.CancelProcessing(id(first)))
		return b.depth(t).Retry == 1
	}, patience, 20*time.Millisecond)
	require.NoError(t, b.client.Forget(t.Context(), first))
	require.NoError(t, ctx.Err(), "the handler goes on")
	b.enqueue(t, second)
	b.becomes(t, queue.Depth{Active: 1}) // asynq has taken it, but the slot is not free
	finish <- fmt.Errorf("claim: %w", queue.ErrNotMine)
	receive(t, started)
	finish <- nil
	b.becomes(t, queue.Depth{})
	require.EqualValues(t, 1, most.Load())
}

func slotsAreRespected(t *testing.T, b *bundle) {
	const slots = 3
	var busy, most atomic.Int32
	started, finish := make(chan struct{}, 30), make(chan struct{})
	b.serve(t, func(context.Context, completion.Task) error {
		n := busy.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		started <- struct{}{}
		<-finish
		busy.Add(-1)
		return nil
	}, func(c *queue.Config) { c.Slots = slots })
	b.enqueue(t, newTasks(30, completion.LaneInteractive)...)
	for range slots {
		receive(t, started)
	}
	b.becomes(t, queue.Depth{Pending: 27, Active: slots})
	close(finish)
	b.becomes(t, queue.Depth{})
	require.EqualValues(t, slots, most.Load())
}

// manySlots runs more tasks at once than one asynq server may have, which all end with the server.
func manySlots(t *testing.T, b *bundle) {
	const slots = 1100
	started := make(chan struct{}, slots)
	stop := b.serve(t, func(ctx context.Context, _ completion.Task) error {
		started <- struct{}{}
		<-ctx.Done()
		return &queue.Again{}
	}, func(c *queue.Config) { c.Slots, c.Grace = slots, time.Millisecond })
	for _, err := range b.client.EnqueueAll(t.Context(), newTasks(slots+5, completion.LaneInteractive)) {
		require.NoError(t, err)
	}
	for range slots {
		receive(t, started)
	}
	b.becomes(t, queue.Depth{Pending: 5, Active: slots})
	stop()
	require.Zero(t, b.depth(t).Active)
}

func lanesAreSeparate(t *testing.T, b *bundle) {
	tasks := newTasks(100, completion.LaneBatch)
	full, finish := make(chan struct{}, len(tasks)), make(chan struct{})
	defer close(finish)
	b.serve(t, func(context.Context, completion.Task) error {
		full <- struct{}{}
		<-finish
		return nil
	}, func(c *queue.Config) { c.Lane, c.Slots = completion.LaneBatch, 1 })
	got := make(chan completion.Task, 20)
	b.serve(t, into(got), func(c *queue.Config) { c.Slots = 1 })
	for _, err := range b.client.EnqueueAll(t.Context(), tasks) {
		require.NoError(t, err)
	}
	receive(t, full)
	for range 20 {
		b.enqueue(t, newTask(completion.LaneInteractive))
		require.Equal(t, completion.LaneInteractive, receive(t, got).Lane)
	}
}

func redisIsWiped(t *testing.T, b *bundle) {
	ctx := t.Context()
	got, answer := make(chan completion.Task), make(chan error)
	b.serve(t, func(_ context.Context, t completion.Task) error {
		got <- t
		return <-answer
	})
	_, err := b.client.Fresh(ctx)
	require.NoError(t, err)
	running, waiting := newTask(completion.LaneInteractive), newTask(completion.LaneInteractive)
	b.enqueue(t, running)
	receive(t, got)
	waiting.At = time.Now().Add(never)
	b.enqueue(t, waiting)
	require.NoError(t, Empty(ctx, b.rc))
	answer <- nil // its acknowledgement finds nothing

	lost, err := b.client.Fresh(ctx)
	require.NoError(t, err)
	require.True(t, lost)
	waiting.At = time.Time{}
	require.NoError(t, b.client.EnqueueAll(ctx, []completion.Task{waiting})[0])
	require.Equal(t, waiting.Ref, receive(t, got).Ref, "the same server goes on")
	answer <- nil
	b.becomes(t, queue.Depth{})
}

func scriptsAreFlushed(t *testing.T, b *bundle) {
	got := make(chan completion.Task, 1)
	b.serve(t, into(got))
	for range 5 {
		require.NoError(t, b.rc.ScriptFlush(t.Context()).Err())
		b.enqueue(t, newTask(completion.LaneInteractive))
		receive(t, got)
		b.becomes(t, queue.Depth{})
	}
}
