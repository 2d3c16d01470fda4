package queue_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/testkit/golden"
)

// asTask is a task as it lies in Redis.
type asTask struct {
	ID      string          `json:"id"`
	Queue   string          `json:"queue"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// TestGolden_Task is the message from an api or sweeper of one release to a worker of another one. Headers are for those
// who know them.
func TestGolden_Task(t *testing.T) {
	t.Parallel()
	rc := openEmbedded(t)
	ref := completion.Ref{Tenant: "acme", Job: "job_01a20064378977fab53f410dae3c6893"}
	require.NoError(t, queue.NewClient(rc, nil).Enqueue(t.Context(), completion.Task{Ref: ref, Lane: completion.LaneBatch}))
	inspector := asynq.NewInspectorFromRedisClient(rc)
	info, err := inspector.GetTaskInfo("batch", ref.Tenant+":"+ref.Job)
	require.NoError(t, err)
	written, err := json.Marshal(asTask{info.ID, info.Queue, info.Type, info.Payload})
	require.NoError(t, err)
	golden.Check(t, "task", written, func(t testing.TB, data []byte) {
		var task asTask
		require.NoError(t, json.Unmarshal(data, &task))
		require.Equal(t, ref, delivered(t, openEmbedded(t), task, nil))
		headers := map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "newer": "x"}
		require.Equal(t, ref, delivered(t, openEmbedded(t), task, headers))
	})
}

// delivered puts a task into the queue by hand and returns what a worker gets.
func delivered(t testing.TB, rc redis.UniversalClient, task asTask, headers map[string]string) completion.Ref {
	t.Helper()
	aq := asynq.NewClientFromRedisClient(rc)
	_, err := aq.Enqueue(asynq.NewTaskWithHeaders(task.Type, task.Payload, headers), asynq.TaskID(task.ID), asynq.Queue(task.Queue), asynq.Timeout(time.Hour))
	require.NoError(t, err)
	got := make(chan completion.Task, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- queue.NewServer(rc, queue.Config{
			Lane: completion.Lane(task.Queue), Slots: 1, Log: slog.New(slog.DiscardHandler),
			Handler: func(_ context.Context, t completion.Task) error { got <- t; return nil },
		}).Run(ctx)
	}()
	ref := (<-got).Ref
	cancel()
	require.NoError(t, <-done)
	return ref
}
