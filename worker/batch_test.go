package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
	"sluice/shared/testkit"
	"sluice/worker"
)

// config is that of a worker with the simulated model at url.
func config(url string) worker.Config {
	return worker.Config{
		InteractiveSlots: 4, BatchSlots: 32, InteractiveAttempts: 1, BatchAttempts: 1, RetryBase: 50 * time.Millisecond, RetryMax: time.Second,
		GenerationLimit: time.Minute, PublishLimit: time.Minute, DrainLimit: time.Second,
		UpstreamName: "sim", UpstreamURL: url + "/v1", UpstreamIdle: time.Minute, UpstreamHeader: time.Minute, UpstreamBytes: 1 << 20,
	}
}

// startWorker runs a worker over back until the test ends.
func startWorker(t *testing.T, back *backend.Backend) {
	t.Helper()
	sim := modelsim.New(modelsim.Config{})
	server := httptest.NewServer(sim)
	w, err := worker.New(config(server.URL), back, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		sim.Close()
		server.Close()
	})
}

// lines adds the lines of a new batch to the store and the queue.
func lines(t *testing.T, back *backend.Backend, n int, model string) (completion.Batch, []completion.Job) {
	t.Helper()
	now := time.Now()
	batch := completion.Batch{ID: completion.NewBatchID(), Tenant: "acme"}
	jobs, tasks := make([]completion.Job, n), make([]completion.Task, n)
	for i := range jobs {
		jobs[i] = completion.Job{
			ID: batch.LineJobID(i + 1), Tenant: batch.Tenant, Lane: completion.LaneBatch, State: completion.Queued, Model: model,
			Batch: batch.ID, Line: i + 1, CustomID: fmt.Sprint("line-", i+1), CreatedAt: now, UpdatedAt: now, Deadline: now.Add(time.Hour),
			Request: fmt.Appendf(nil, `{"model":%q,"messages":[{"role":"user","content":"line %d"}]}`, model, i+1),
		}
		_, _, err := back.Store.Add(t.Context(), &jobs[i])
		require.NoError(t, err)
		tasks[i] = jobs[i].Task()
	}
	for _, err := range back.Queue.EnqueueAll(t.Context(), tasks) {
		if err != nil {
			require.ErrorIs(t, err, completion.ErrKnown, "the worker's sweeper may be faster")
		}
	}
	return batch, jobs
}

// heard collects the lines that are rung for a batch.
func heard(t *testing.T, back *backend.Backend) func(batch completion.Ref) map[int]int {
	t.Helper()
	var mu sync.Mutex
	all := map[completion.Ref]map[int]int{}
	stop, err := back.Bell.OnBatch(func(ref completion.Ref, lines []int) {
		mu.Lock()
		defer mu.Unlock()
		if all[ref] == nil {
			all[ref] = map[int]int{}
		}
		for _, n := range lines {
			all[ref][n]++
		}
	})
	require.NoError(t, err)
	t.Cleanup(stop)
	return func(batch completion.Ref) map[int]int {
		mu.Lock()
		defer mu.Unlock()
		counts := map[int]int{}
		for n, c := range all[batch] {
			counts[n] = c
		}
		return counts
	}
}

// TestWorker_LinesAreQuiet: the lines of a batch end in the store, ring, and leave nothing in the log; who follows one
// gets its end from the store.
func TestWorker_LinesAreQuiet(t *testing.T) {
	t.Parallel()
	back, _ := testkit.Backend(t)
	rung := heard(t, back)
	startWorker(t, back)
	batch, jobs := lines(t, back, 50, "sim-instant")
	require.Eventually(t, func() bool { return len(rung(batch.Ref())) == len(jobs) }, time.Minute, 5*time.Millisecond)
	for i, job := range jobs {
		require.Equal(t, 1, rung(batch.Ref())[i+1])
		stored, err := back.Store.Get(t.Context(), job.Ref())
		require.NoError(t, err)
		require.Equal(t, modelsim.Answer(fmt.Sprint("line ", i+1)), gjson.GetBytes(stored.Result, "choices.0.message.content").Str)
		for r, err := range back.Log.Read(t.Context(), job.Ref()) {
			require.Fail(t, "a line says nothing", "%s %v", r.Data, err)
		}
	}
	var last completion.Record
	for r, err := range back.Log.Follow(t.Context(), jobs[0].Ref(), 0) {
		require.NoError(t, err)
		last = r
	}
	require.Equal(t, completion.EventCompleted, last.Type)
}

// TestWorker_I10_RateLimit: an upstream takes 5 requests a second, which even a busy machine exceeds. All lines are answered,
// none has cost a try although there is only one, and interactive jobs beside them do not wait.
func TestWorker_I10_RateLimit(t *testing.T) {
	t.Parallel()
	back, _ := testkit.Backend(t)
	rung := heard(t, back)
	startWorker(t, back)
	began := time.Now()
	batch, jobs := lines(t, back, 20, "sim-instant?limit=5&key=l")
	beside := 0
	for len(rung(batch.Ref())) < len(jobs) {
		now := time.Now()
		require.Less(t, now.Sub(began), time.Minute)
		job := completion.Job{
			ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: "sim", CreatedAt: now, UpdatedAt: now,
			Request: []byte(`{"model":"sim-instant","messages":[{"role":"user","content":"hi"}]}`),
		}
		_, _, err := back.Store.Add(t.Context(), &job)
		require.NoError(t, err)
		if err := back.Queue.Enqueue(t.Context(), job.Task()); !errors.Is(err, completion.ErrKnown) { // the sweeper of the worker may be faster
			require.NoError(t, err)
		}
		for r, err := range back.Log.Follow(t.Context(), job.Ref(), 0) {
			require.NoError(t, err)
			require.NotEqual(t, completion.EventFailed, r.Type, "%s", r.Data)
		}
		beside++
	}
	took := time.Since(began)
	require.GreaterOrEqual(t, took, 3*time.Second, "the limit is one")
	require.Greater(t, beside, int(took/time.Second), "a second is the shortest wait of those that are throttled")
	returned := 0
	for _, job := range jobs {
		stored, err := back.Store.Get(t.Context(), job.Ref())
		require.NoError(t, err)
		require.Equal(t, completion.Completed, stored.State, "%v", stored.Error)
		require.Zero(t, stored.Tries)
		returned += stored.Returned
	}
	require.Positive(t, returned)
	t.Logf("%d lines in %s, %d refusals, %d interactive jobs", len(jobs), took, returned, beside)
}
