package queue_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/testkit"
)

// victimEnv makes the test program a worker on the Redis that it names.
const victimEnv = "SLUICE_TEST_VICTIM"

// victim takes a task, says so, and never ends.
func victim(address string) {
	rc, err := queue.Open(address, 0)
	if err != nil {
		panic(err)
	}
	panic(queue.NewServer(rc, queue.Config{
		Lane: completion.LaneInteractive, Slots: 1, MaxWait: 10 * time.Millisecond,
		Handler: func(_ context.Context, t completion.Task) error {
			fmt.Println(t.Ref.Job)
			select {}
		},
	}).Run(context.Background()))
}

func newTask() completion.Task {
	return completion.Task{Ref: completion.Ref{Tenant: "acme", Job: completion.NewJobID()}, Lane: completion.LaneInteractive}
}

func serve(t *testing.T, cfg queue.Config, srv *testkit.RedisServer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg.Lane, cfg.Slots, cfg.Log = completion.LaneInteractive, 2, slog.New(slog.NewTextHandler(t.Output(), nil))
	rc := srv.Client(t)
	go func() { done <- queue.NewServer(rc, cfg).Run(ctx) }()
	stop = func() {
		cancel()
		require.NoError(t, <-done)
	}
	return stop
}

func TestQueue_I1_WorkerIsKilled(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	client := queue.NewClient(srv.Client(t), nil)
	task := newTask()
	require.NoError(t, client.Enqueue(t.Context(), task))

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+srv.URL())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, task.Ref.Job+"\n", line)
	require.NoError(t, cmd.Process.Kill())
	_, _ = io.Copy(io.Discard, out)
	require.Error(t, cmd.Wait())

	n, err := client.Revive(t.Context(), task.Lane, time.Nanosecond) // as if time had passed
	require.NoError(t, err)
	require.Equal(t, 1, n)
	got := make(chan completion.Task, 1)
	stop := serve(t, queue.Config{Handler: func(_ context.Context, t completion.Task) error { got <- t; return nil }}, srv)
	defer stop()
	require.Equal(t, task, <-got)
}

// TestQueue_I2_RedisRestarts: a task that ends while Redis is down is acknowledged when Redis is back, and the server
// goes on.
func TestQueue_I2_RedisRestarts(t *testing.T) {
	t.Parallel()
	srv := testkit.StartRedis(t)
	client := queue.NewClient(srv.Client(t), nil)
	started, finish := make(chan completion.Task), make(chan struct{})
	var runs atomic.Int32
	stop := serve(t, queue.Config{MaxWait: 10 * time.Millisecond, Handler: func(_ context.Context, t completion.Task) error {
		runs.Add(1)
		started <- t
		<-finish
		return nil
	}}, srv)
	defer stop()
	first, second := newTask(), newTask()
	require.NoError(t, client.Enqueue(t.Context(), first))
	<-started
	srv.Kill(t)
	err := client.Enqueue(t.Context(), second)
	require.Equal(t, completion.CodeUnavailable, completion.AsError(err).Code)
	finish <- struct{}{}
	srv.Start(t)
	require.NoError(t, client.EnqueueAll(t.Context(), []completion.Task{second})[0])
	require.Equal(t, second, <-started)
	finish <- struct{}{}
	require.Eventually(t, func() bool {
		d, err := client.Depth(t.Context(), completion.LaneInteractive)
		return err == nil && d == queue.Depth{}
	}, time.Minute, 10*time.Millisecond)
	require.EqualValues(t, 2, runs.Load())
}
