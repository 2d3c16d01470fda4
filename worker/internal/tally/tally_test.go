package tally_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/worker/internal/tally"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type ring struct {
	batch completion.Ref
	lines []int
}

// setup returns a tally, and what has been rung so far.
func setup() (*tally.Tally, func() []ring) {
	var mu sync.Mutex
	var rings []ring
	tell := tally.New(func(batch completion.Ref, lines ...int) {
		mu.Lock()
		defer mu.Unlock()
		rings = append(rings, ring{batch, lines})
	})
	return tell, func() []ring {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(rings)
	}
}

func line(tenant, batch string, n int) completion.Job {
	return completion.Job{Tenant: tenant, Batch: batch, Line: n}
}

func TestTally_OneRingForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tell, rings := setup()
		began := time.Now()
		tell.Add(line("a", "batch_1", 3))
		time.Sleep(10 * time.Millisecond) // the fake clock is in the middle of the time in which lines gather
		synctest.Wait()
		tell.Add(line("a", "batch_1", 1))
		tell.Add(line("b", "batch_2", 7))
		tell.Add(completion.Job{Tenant: "a", ID: "job_1"})
		require.Empty(t, rings())
		time.Sleep(time.Second) // the fake clock passes that time
		synctest.Wait()
		require.Equal(t, []ring{
			{completion.Ref{Tenant: "a", Job: "batch_1"}, []int{3, 1}}, {completion.Ref{Tenant: "b", Job: "batch_2"}, []int{7}},
		}, rings())
		tell.Add(line("a", "batch_1", 4))
		time.Sleep(time.Second) // the fake clock passes it once more
		synctest.Wait()
		require.Equal(t, []int{4}, rings()[2].lines, "it begins anew")
		require.Equal(t, 2*time.Second+10*time.Millisecond, time.Since(began))
	})
}

func TestTally_RingsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tell, rings := setup()
		for i := range 2500 {
			tell.Add(line("a", "batch_1", completion.MaxBatchLines-i))
		}
		synctest.Wait()
		require.Len(t, rings(), 2)
		tell.Flush()
		require.Len(t, rings(), 3)
		require.Len(t, rings()[2].lines, 500)
		time.Sleep(time.Second) // the fake clock passes the time of a timer that must not ring any more
		synctest.Wait()
		require.Len(t, rings(), 3)
	})
}
