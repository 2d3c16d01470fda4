package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/modelsim"
	"sluice/shared/testkit"
	"sluice/worker"
)

// TestWorker_Status: the heartbeat tells what the worker has and does, that it drains when it is told to stop, and nothing
// once it has left.
func TestWorker_Status(t *testing.T) {
	t.Parallel()
	back, _ := testkit.RealBackend(t)
	sim := modelsim.New(modelsim.Config{})
	server := httptest.NewServer(sim)
	defer server.Close()
	defer sim.Close()
	c := config(server.URL)
	c.DrainLimit = time.Minute
	w, err := worker.New(c, back, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	status := func(ok func(completion.WorkerStatus) bool) completion.WorkerStatus {
		t.Helper()
		var last completion.WorkerStatus
		require.Eventually(t, func() bool {
			list, err := back.Store.Workers(t.Context(), time.Now())
			require.NoError(t, err)
			if len(list) == 1 && list[0].Alive && list[0].Status != nil {
				last = *list[0].Status
			}
			return ok(last)
		}, time.Minute, 10*time.Millisecond)
		return last
	}
	submit := func(model string) completion.Ref {
		t.Helper()
		now := time.Now()
		job := completion.Job{
			ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: model, CreatedAt: now, UpdatedAt: now,
			Request: json.RawMessage(`{"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`),
		}
		_, _, err := back.Store.Add(t.Context(), &job)
		require.NoError(t, err)
		if err := back.Queue.Enqueue(t.Context(), job.Task()); !errors.Is(err, completion.ErrKnown) { // the sweeper of the worker may be faster
			require.NoError(t, err)
		}
		return job.Ref()
	}
	submit("sim-instant")
	submit("sim?fail=500&key=f")
	endless := submit("sim?tps=1&tokens=3000&key=slow")
	seen := status(func(s completion.WorkerStatus) bool {
		return len(s.Lanes) == 2 && s.Lanes[0].Minute.Completed == 1 && s.Lanes[0].Minute.Failed == 1 && s.Lanes[0].Running == 1
	})
	require.Equal(t, "dev", seen.Version)
	require.NotEmpty(t, seen.Host)
	require.WithinRange(t, seen.StartedAt, time.Now().Add(-time.Hour), time.Now())
	require.False(t, seen.Draining)
	interactive, batch := seen.Lanes[0], seen.Lanes[1]
	require.Equal(t, 4, interactive.Slots)
	require.Equal(t, completion.LaneBatch, batch.Lane)
	require.Equal(t, 32, batch.Slots)
	require.Nil(t, batch.Throttle)
	require.EqualValues(t, 1, interactive.Minute.FirstDelta.Count())
	require.Positive(t, interactive.Quarter.OutputTokens)
	require.Len(t, seen.Upstreams, 1)
	require.Equal(t, "sim", seen.Upstreams[0].Name)
	require.Equal(t, map[completion.Code]int64{completion.CodeUpstream: 1}, seen.Upstreams[0].Errors)
	require.EqualValues(t, 2, seen.Upstreams[0].Calls)
	require.Equal(t, 1, seen.Upstreams[0].Running)
	raw, err := json.Marshal(seen)
	require.NoError(t, err)
	require.Less(t, len(raw), completion.MaxWorkerStatus/4)
	require.NotContains(t, string(raw), server.URL[len("http://"):], "an upstream's address stays with the worker")

	stop()
	status(func(s completion.WorkerStatus) bool { return s.Draining })
	back.Bell.Cancel(endless)
	require.NoError(t, <-done)
	list, err := back.Store.Workers(t.Context(), time.Now())
	require.NoError(t, err)
	require.Empty(t, list)
}
