package meter_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/worker/internal/generate"
	"sluice/worker/internal/meter"
)

// words are an upstream that says so many.
type words struct {
	n    int
	pace time.Duration
	err  error
}

func (*words) Name() string { return "up" }

func (w *words) Stream(context.Context, completion.Endpoint, json.RawMessage) iter.Seq2[json.RawMessage, error] {
	chunk := json.RawMessage(`{}`)
	return func(yield func(json.RawMessage, error) bool) {
		for range w.n {
			time.Sleep(w.pace) // on the fake clock, or not at all
			if !yield(chunk, nil) {
				return
			}
		}
		if w.err != nil {
			yield(nil, w.err)
		}
	}
}

func newMeter() *meter.Meter {
	return meter.New(completion.Lanes, "up", meter.View{Lanes: func() []meter.Lane { return nil }})
}

func hear(ctx context.Context, up generate.Upstream) {
	for range up.Stream(ctx, completion.EndpointChat, nil) {
		continue
	}
}

// family is one metric of m.
func family(t *testing.T, m *meter.Meter, name string) []*dto.Metric {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(m))
	all, err := r.Gather()
	require.NoError(t, err)
	for _, f := range all {
		if f.GetName() == "sluice_"+name {
			return f.GetMetric()
		}
	}
	return nil
}

// A call that its caller gives up is no error, and the first chunk's time is counted from the call.
func TestMeter_Upstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMeter()
		hear(t.Context(), m.Upstream(&words{n: 3, pace: 300 * time.Millisecond}, completion.LaneInteractive))
		hear(t.Context(), m.Upstream(&words{err: completion.NewError(completion.CodeStalled, "")}, completion.LaneBatch))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		hear(gone, m.Upstream(&words{err: errors.New("given up")}, completion.LaneBatch))
		failed := 0.0
		for _, c := range family(t, m, "upstream_errors_total") {
			failed += c.GetCounter().GetValue()
		}
		require.InDelta(t, 1, failed, 0)
		first := family(t, m, "first_token_seconds")
		require.Len(t, first, 2)
		require.Zero(t, first[0].GetHistogram().GetSampleCount(), "batch")
		require.EqualValues(t, 1, first[1].GetHistogram().GetSampleCount(), "interactive")
		require.InDelta(t, 0.3, first[1].GetHistogram().GetSampleSum(), 1e-9)
		require.Zero(t, family(t, m, "upstream_streams_open")[0].GetGauge().GetValue())
	})
}

// Times are the job's own; those of an answer that was there at once say nothing of the upstream's speed.
func TestMeter_Ended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, now := newMeter(), time.Now()
		job := completion.Job{
			Lane: completion.LaneBatch, State: completion.Completed, Endpoint: completion.EndpointChat, Attempt: 1, Usage: json.RawMessage(`{"prompt_tokens":3,"output_tokens":40}`),
			CreatedAt: now.Add(-5 * time.Second), StartedAt: now.Add(-4 * time.Second), FirstTokenAt: now.Add(-3 * time.Second), FinishedAt: now.Add(-time.Second),
		}
		m.Claimed(&job)
		m.Ended(&job)
		sum := func(name string) float64 { return family(t, m, name)[0].GetHistogram().GetSampleSum() }
		for name, want := range map[string]float64{"wait_seconds": 1, "first_delta_seconds": 2, "store_seconds": 1, "output_tokens_per_second": 20} {
			require.InDelta(t, want, sum(name), 1e-9, name)
		}
		tokens := family(t, m, "tokens_total")
		require.InDelta(t, 3, tokens[0].GetCounter().GetValue(), 0)
		require.InDelta(t, 40, tokens[1].GetCounter().GetValue(), 0)
		job.Attempt, job.FirstTokenAt = 2, job.FinishedAt
		m.Claimed(&job)
		m.Ended(&job)
		require.InDelta(t, 1, sum("wait_seconds"), 1e-9, "the first claim only")
		require.EqualValues(t, 1, family(t, m, "output_tokens_per_second")[0].GetHistogram().GetSampleCount())
		job.CreatedAt = now.Add(time.Hour)
		job.Attempt = 1
		m.Claimed(&job)
		require.InDelta(t, 1, sum("wait_seconds"), 1e-9, "another machine's clock")
	})
}

// What is around the upstream allocates nothing for a chunk.
func TestMeter_AllocatesNothingPerDelta(t *testing.T) {
	m := newMeter()
	allocs := func(n int) float64 {
		up := m.Upstream(&words{n: n}, completion.LaneInteractive)
		return testing.AllocsPerRun(20, func() { hear(t.Context(), up) })
	}
	require.InDelta(t, allocs(1), allocs(1001), 0)
}
