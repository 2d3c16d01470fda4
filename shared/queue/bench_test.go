package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/testkit"
)

// BenchmarkLatency is the time from Enqueue to the handler's start on an idle server.
func BenchmarkLatency(b *testing.B) {
	b.Run("redis", func(b *testing.B) { latency(b, testkit.Redis(b)) })
	b.Run("embedded", func(b *testing.B) { latency(b, openEmbedded(b)) })
}

func latency(b *testing.B, rc redis.UniversalClient) {
	b.ReportAllocs()
	var wake func()
	got := make(chan struct{})
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	srv := queue.NewServer(rc, queue.Config{
		Lane: completion.LaneInteractive, Slots: 2, MaxWait: time.Hour,
		OnWake:  func(w func()) (func(), error) { wake = w; close(ready); return func() {}, nil },
		Handler: func(context.Context, completion.Task) error { got <- struct{}{}; return nil },
		Log:     slog.New(slog.DiscardHandler),
	})
	go func() { done <- srv.Run(ctx) }()
	<-ready
	client := queue.NewClient(rc, func(completion.Lane) { wake() })
	for b.Loop() {
		require.NoError(b, client.Enqueue(ctx, newTask()))
		<-got
	}
	cancel()
	require.NoError(b, <-done)
}

// BenchmarkLatency_Polling is the same with asynq alone, as it comes.
func BenchmarkLatency_Polling(b *testing.B) {
	rc := testkit.Redis(b)
	got := make(chan struct{})
	srv := asynq.NewServerFromRedisClient(rc, asynq.Config{Concurrency: 2, LogLevel: asynq.FatalLevel})
	require.NoError(b, srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { got <- struct{}{}; return nil })))
	client := asynq.NewClientFromRedisClient(rc)
	for b.Loop() {
		_, err := client.EnqueueContext(b.Context(), asynq.NewTask("x", nil))
		require.NoError(b, err)
		<-got
	}
	srv.Shutdown()
}

// BenchmarkEnqueueAll is 500 tasks that the queue does not know, and then the same 500 again.
func BenchmarkEnqueueAll(b *testing.B) {
	for name, open := range map[string]func(testing.TB) redis.UniversalClient{"redis": testkit.Redis, "embedded": openEmbedded} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			rc := open(b)
			client := queue.NewClient(rc, nil)
			tasks := make([]completion.Task, 500)
			for b.Loop() {
				for i := range tasks {
					tasks[i] = newTask()
				}
				require.NoError(b, client.EnqueueAll(b.Context(), tasks)[0])
				require.ErrorIs(b, client.EnqueueAll(b.Context(), tasks)[0], completion.ErrKnown)
				require.NoError(b, rc.FlushDB(b.Context()).Err())
			}
		})
	}
}

// BenchmarkTake is one task enqueued and one taken, while one task of each tenant waits, with asynq's script and with ours.
func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name    string
		take    func(context.Context, redis.UniversalClient, completion.Lane) *redis.Cmd
		tenants int
		active  int
		limits  map[string]int
	}{
		{"plain", queue.TakePlain, 1, 0, nil},
		{"fair/tenants=1", queue.Take, 1, 0, nil},
		{"fair/tenants=1000", queue.Take, 1000, 0, nil},
		{"plain/active=1000", queue.TakePlain, 1, 1000, nil},
		{"fair/active=1000", queue.Take, 1, 1000, nil},
		{"limit=5000/active=1000", queue.Take, 1, 1000, map[string]int{"*": 5000}},
		{"limit=1001/active=1000", queue.Take, 1, 1000, map[string]int{"*": 1001}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			rc, lane, n := testkit.Redis(b), completion.LaneInteractive, 0
			client := queue.NewClient(rc, nil)
			require.NoError(b, client.SetRunning(b.Context(), c.limits))
			put := func() {
				ref := completion.Ref{Tenant: fmt.Sprint("tenant-", n%c.tenants), Job: completion.NewJobID()}
				require.NoError(b, client.Enqueue(b.Context(), completion.Task{Ref: ref, Lane: lane}))
				n++
			}
			take := func() {
				cmd := c.take(b.Context(), rc, lane)
				for cmd.Val() == int64(0) { // not sorted yet
					cmd = c.take(b.Context(), rc, lane)
				}
				_, err := cmd.Text()
				require.NoError(b, err)
			}
			end := func() {
				id := rc.LPop(b.Context(), "asynq:{interactive}:active").Val()
				require.NoError(b, rc.ZRem(b.Context(), "asynq:{interactive}:lease", id).Err())
			}
			for range c.active {
				put()
				take()
			}
			for range c.tenants {
				put()
			}
			took := time.Duration(0)
			for b.Loop() {
				put()
				start := time.Now()
				take()
				took += time.Since(start)
				b.StopTimer()
				end()
				b.StartTimer()
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/take")
		})
	}
}
