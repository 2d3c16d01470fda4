package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
	"sluice/shared/testkit"
	"sluice/worker"
)

// submit adds an interactive job and returns how to wait for its end.
func submit(t *testing.T, back *backend.Backend, model string) (ref completion.Ref, end func() completion.Job) {
	t.Helper()
	now := time.Now()
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: model, CreatedAt: now, UpdatedAt: now,
		Request: json.RawMessage(`{"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`),
	}
	_, _, err := back.Store.Add(t.Context(), &job)
	require.NoError(t, err)
	if err := back.Queue.Enqueue(t.Context(), job.Task()); !errors.Is(err, completion.ErrKnown) { // the worker's sweeper may be faster
		require.NoError(t, err)
	}
	return job.Ref(), func() completion.Job {
		t.Helper()
		for _, err := range back.Log.Follow(t.Context(), job.Ref(), 0) {
			require.NoError(t, err)
		}
		stored, err := back.Store.Get(t.Context(), job.Ref())
		require.NoError(t, err)
		return stored
	}
}

// values are the metrics of c by name and labels; a histogram's is how often it was observed.
func values(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	families, err := r.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			all[strings.TrimPrefix(f.GetName(), "sluice_")+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// TestWorker_Metrics: what jobs come to is counted exactly.
func TestWorker_Metrics(t *testing.T) {
	t.Parallel()
	back, _ := testkit.Backend(t)
	sim := modelsim.New(modelsim.Config{})
	server := httptest.NewServer(sim)
	defer server.Close()
	defer sim.Close()
	c := config(server.URL)
	c.InteractiveAttempts, c.BatchAttempts = 2, 1
	w, err := worker.New(c, back, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.ErrorContains(t, w.Ready(t.Context()), "starting")
	faults, err := testutil.CollectAndLint(w.Collector())
	require.NoError(t, err)
	require.Empty(t, faults)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	require.Eventually(t, func() bool { return w.Ready(t.Context()) == nil }, time.Minute, time.Millisecond)

	for range 3 {
		_, end := submit(t, back, "sim-instant")
		require.Equal(t, completion.Completed, end().State)
	}
	_, end := submit(t, back, "sim?tps=100&tokens=10")
	require.Equal(t, completion.Completed, end().State)
	_, end = submit(t, back, "sim-instant?fail=500&times=1&key=again")
	require.Equal(t, completion.Completed, end().State, "the second attempt")
	_, end = submit(t, back, "sim-instant?fail=400&key=wrong")
	require.Equal(t, completion.Failed, end().State)
	_, end = submit(t, back, "sim-instant?cut=2&key=cut")
	require.Equal(t, completion.Failed, end().State, "both attempts")
	ref, end := submit(t, back, "sim?tps=1&tokens=3000")
	require.Eventually(t, func() bool {
		seen := values(t, w.Collector())
		return seen["first_token_seconds{interactive,sim}"] == 8 && seen["worker_running{interactive}"] == 1 && seen["upstream_streams_open{sim}"] == 1
	}, time.Minute, time.Millisecond)
	back.Bell.Cancel(ref)
	require.Equal(t, completion.Cancelled, end().State)
	rung := heard(t, back)
	batch, jobs := lines(t, back, 5, "sim-instant")
	require.Eventually(t, func() bool { return len(rung(batch.Ref())) == len(jobs) }, time.Minute, time.Millisecond)

	want := map[string]float64{
		"jobs_total{interactive,completed}": 5, "jobs_total{interactive,failed}": 2, "jobs_total{interactive,cancelled}": 1, "jobs_total{interactive,expired}": 0,
		"jobs_total{batch,completed}": 5, "jobs_total{batch,failed}": 0,
		"attempts_total{interactive,completed,sim}": 5, "attempts_total{interactive,failed,sim}": 2, "attempts_total{interactive,cancelled,sim}": 1,
		"attempts_total{interactive,retried,sim}": 2, "attempts_total{interactive,returned,sim}": 0, "attempts_total{interactive,lost,sim}": 0,
		"attempts_total{batch,completed,sim}": 5,
		"wait_seconds{interactive}":           8, "wait_seconds{batch}": 5, "first_token_seconds{interactive,sim}": 8, "first_token_seconds{batch,sim}": 5,
		"first_delta_seconds{interactive}": 7, "first_delta_seconds{batch}": 5, "store_seconds{interactive}": 8, "store_seconds{batch}": 5,
		"upstream_errors_total{upstream_error,sim}": 1, "upstream_errors_total{upstream_rejected,sim}": 1, "upstream_errors_total{upstream_cut,sim}": 2,
		"upstream_errors_total{upstream_stalled,sim}": 0, "upstream_streams_open{sim}": 0,
		"worker_slots{interactive}": 4, "worker_slots{batch}": 32, "worker_running{batch}": 0, "results_pending{}": 0, "throttle_limit{}": 32,
	}
	seen := map[string]float64{}
	require.Eventually(t, func() bool { // a job's slot is freed after its end was told
		all := values(t, w.Collector())
		for name := range want {
			seen[name] = all[name]
		}
		return all["worker_running{interactive}"] == 0 && all["worker_running{batch}"] == 0 && all["upstream_streams_open{sim}"] == 0
	}, time.Minute, time.Millisecond)
	require.Equal(t, want, seen)
	all := values(t, w.Collector())
	require.GreaterOrEqual(t, all["output_tokens_per_second{sim}"], 1.0)
	require.Greater(t, all["tokens_total{output,sim}"], 10.0)
	require.Greater(t, all["tokens_total{input,sim}"], 10.0)
	require.Greater(t, all["publish_seconds{}"], 8*2.0)

	stop()
	require.Eventually(t, func() bool { return w.Ready(t.Context()) != nil }, time.Minute, time.Millisecond)
	require.ErrorContains(t, w.Ready(t.Context()), "drains")
	require.NoError(t, <-done)
}
