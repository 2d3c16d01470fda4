package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/modelsim"
	"sluice/shared/testkit"
	"sluice/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWorker_I1_StartsAndStops has workers come and go at any moment, also before they are ready, while jobs run. A stop
// costs no try, of which there is only one.
func TestWorker_I1_StartsAndStops(t *testing.T) {
	t.Parallel()
	back, _ := testkit.Backend(t)
	sim := modelsim.New(modelsim.Config{})
	server := httptest.NewServer(sim)
	defer server.Close()
	defer sim.Close()
	config := worker.Config{
		InteractiveSlots: 4, BatchSlots: 4, InteractiveAttempts: 1, BatchAttempts: 1, RetryBase: time.Millisecond, RetryMax: time.Millisecond,
		GenerationLimit: time.Minute, PublishLimit: time.Minute, DrainLimit: time.Millisecond,
		UpstreamName: "sim", UpstreamURL: server.URL + "/v1", UpstreamIdle: time.Minute, UpstreamHeader: time.Minute, UpstreamBytes: 1 << 20,
		ModelsInterval: time.Minute,
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	run := func(ctx context.Context) {
		w, err := worker.New(config, back, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.NoError(t, w.Run(ctx))
	}
	for range 3 {
		workers.Go(func() {
			for ctx.Err() == nil {
				short, stop := context.WithTimeout(ctx, rand.N(300*time.Millisecond))
				run(short)
				stop()
			}
		})
	}
	jobs := make([]completion.Job, 40)
	for i := range jobs {
		now := time.Now()
		jobs[i] = completion.Job{
			ID: completion.NewJobID(), Tenant: "acme", Lane: completion.Lanes[i%2], State: completion.Queued, Model: "sim", CreatedAt: now, UpdatedAt: now,
			Request: fmt.Appendf(nil, `{"model":"sim?tps=200&tokens=20&key=%d","messages":[{"role":"user","content":"hi"}]}`, i),
		}
		_, _, err := back.Store.Add(t.Context(), &jobs[i])
		require.NoError(t, err)
		if err := back.Queue.Enqueue(t.Context(), jobs[i].Task()); !errors.Is(err, completion.ErrKnown) { // the sweeper of a worker that starts may be faster
			require.NoError(t, err)
		}
	}
	workers.Go(func() { run(ctx) }) // one that stays, so that the end is near
	for _, job := range jobs {
		var last completion.Record
		for r, err := range back.Log.Follow(t.Context(), job.Ref(), 0) {
			require.NoError(t, err)
			last = r
		}
		require.Equal(t, completion.EventCompleted, last.Type, "%s", last.Data)
		stored, err := back.Store.Get(t.Context(), job.Ref())
		require.NoError(t, err)
		require.Zero(t, stored.Tries)
		require.Equal(t, modelsim.AnswerOf(20, "hi"), gjson.GetBytes(stored.Result, "choices.0.message.content").Str)
	}
	require.Eventually(t, func() bool {
		lists, err := back.Store.Models(t.Context(), time.Now())
		return err == nil && len(lists) == 1 && lists[0].Upstream == "sim" && gjson.GetBytes(lists[0].Models, "#.id").Raw == `["sim","sim-instant"]`
	}, time.Minute, 10*time.Millisecond)
	cancel()
	workers.Wait()
}
