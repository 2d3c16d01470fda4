package queuetest

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// traceGoesAlong: every delivery of a task is in the trace that it was enqueued in, whoever enqueued it, and those that came
// without one are in none, among them tasks as they were written before there were traces.
func traceGoesAlong(t *testing.T, b *bundle) {
	state, err := trace.ParseTraceState("vendor=opaque")
	require.NoError(t, err)
	there := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
	got := make(chan trace.SpanContext, 1)
	first := true
	b.serve(t, func(ctx context.Context, task completion.Task) error {
		got <- trace.SpanContextFromContext(ctx)
		if first {
			first = false
			return &queue.Again{}
		}
		return nil
	}, func(c *queue.Config) { c.Slots = 1 })
	traced := trace.ContextWithRemoteSpanContext(t.Context(), there)
	task := newTask(completion.LaneInteractive)
	require.NoError(t, b.client.Enqueue(traced, task))
	require.Equal(t, there, receive(t, got))
	require.Eventually(t, func() bool {
		_ = b.insp.RunTask(string(task.Lane), id(task)) // spares the wait for the second delivery
		b.ring(task.Lane)
		return len(got) > 0
	}, patience, 5*time.Millisecond)
	require.Equal(t, there, receive(t, got))

	for _, err := range b.client.EnqueueAll(traced, newTasks(1, task.Lane)) {
		require.NoError(t, err)
	}
	require.Equal(t, there, receive(t, got))
	b.enqueue(t, newTask(task.Lane))
	require.Equal(t, trace.SpanContext{}, receive(t, got))
	_, err = asynq.NewClientFromRedisClient(b.rc).Enqueue(asynq.NewTask("completion", []byte(`{"v":1,"tenant":"acme","job":"job_1"}`)),
		asynq.Queue(string(task.Lane)), asynq.TaskID("acme:job_1"))
	require.NoError(t, err)
	b.ring(task.Lane)
	require.Equal(t, trace.SpanContext{}, receive(t, got))
}
