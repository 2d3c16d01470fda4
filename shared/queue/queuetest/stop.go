package queuetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

func handlersFinish(t *testing.T, b *bundle) {
	started, finish, stopped := make(chan context.Context), make(chan struct{}), make(chan struct{})
	stop := b.serve(t, func(ctx context.Context, _ completion.Task) error {
		started <- ctx
		<-finish
		return nil
	})
	b.enqueue(t, newTask(completion.LaneInteractive))
	ctx := receive(t, started)
	go func() {
		defer close(stopped)
		stop()
	}()
	late := newTask(completion.LaneInteractive)
	require.NoError(t, ctx.Err(), "the grace lasts 20 s")
	close(finish)
	receive(t, stopped)
	b.enqueue(t, late)
	require.Equal(t, queue.Depth{Pending: 1}, b.depth(t), "the one is done, the other never taken")
}

func contextEndsAfterGrace(t *testing.T, b *bundle) {
	task := newTask(completion.LaneInteractive)
	b.enqueue(t, task)
	started, cause := make(chan struct{}), make(chan error, 1)
	stop := b.serve(t, func(ctx context.Context, _ completion.Task) error {
		close(started)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return &queue.Again{Err: context.Cause(ctx)}
	}, func(c *queue.Config) { c.Grace = time.Millisecond })
	receive(t, started)
	stop()
	require.ErrorIs(t, receive(t, cause), queue.ErrStopping)
	require.Equal(t, queue.Depth{Retry: 1}, b.depth(t))
	require.Zero(t, b.retried(t, task), "handing back costs no try")
	got := make(chan completion.Task, 1)
	b.serve(t, into(got))
	require.Equal(t, task, receive(t, got))
}

func drainLimit(t *testing.T, b *bundle) {
	task := newTask(completion.LaneInteractive)
	b.enqueue(t, task)
	started, finish, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	stop := b.serve(t, func(context.Context, completion.Task) error {
		defer close(ended)
		close(started)
		<-finish
		return nil
	}, func(c *queue.Config) { c.DrainLimit = 10 * time.Millisecond })
	receive(t, started)
	stop()
	require.Equal(t, queue.Depth{Pending: 1}, b.depth(t), "given back, although its handler does not listen")
	require.Zero(t, b.retried(t, task))
	close(finish)
	receive(t, ended)
}

func stopRacesWithStart(t *testing.T, b *bundle) {
	const rounds = 15
	var mu sync.Mutex
	runs := map[string]int{}
	count := func(_ context.Context, task completion.Task) error {
		mu.Lock()
		defer mu.Unlock()
		runs[task.Ref.Job]++
		return nil
	}
	tasks := newTasks(rounds*4, completion.LaneInteractive)
	var wg sync.WaitGroup
	for i := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			cfg := queue.Config{Lane: completion.LaneInteractive, Slots: 2, Handler: count, MaxWait: never, OnWake: b.onWake(completion.LaneInteractive)}
			if err := queue.NewServer(b.rc, cfg).Run(ctx); err != nil {
				t.Errorf("run: %s", err)
			}
		})
		wg.Go(func() {
			for _, task := range tasks[i*4 : i*4+4] {
				if err := b.client.Enqueue(t.Context(), task); err != nil {
					t.Errorf("enqueue: %s", err)
				}
			}
			cancel()
		})
		if i%3 == 0 {
			wg.Wait()
		}
	}
	wg.Wait()
	b.serve(t, count)
	b.becomes(t, queue.Depth{})
	mu.Lock()
	defer mu.Unlock()
	for _, task := range tasks {
		require.Equal(t, 1, runs[task.Ref.Job], "a server that stops loses nothing and repeats nothing")
	}
}

func badConfig(t *testing.T, b *bundle) {
	err := queue.NewServer(b.rc, queue.Config{Lane: "express"}).Run(t.Context())
	for _, fault := range []string{"lane", "slots", "handler"} {
		require.ErrorContains(t, err, fault)
	}
	deaf := errors.New("no wake-ups")
	err = queue.NewServer(b.rc, queue.Config{
		Lane: completion.LaneBatch, Slots: 1,
		Handler: func(context.Context, completion.Task) error { return nil },
		OnWake:  func(func()) (func(), error) { return nil, deaf },
	}).Run(t.Context())
	require.ErrorIs(t, err, deaf)
}
