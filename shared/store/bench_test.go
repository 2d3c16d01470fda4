package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// benchBatch is a batch in progress, held by the caller.
func benchBatch(b *testing.B, s *store.Store) completion.Batch {
	b.Helper()
	at := time.Now()
	f := completion.File{ID: completion.NewFileID(), Tenant: "acme", Purpose: completion.PurposeBatch, CreatedAt: at}
	require.NoError(b, s.AddFile(b.Context(), f))
	_, err := s.ReadyFile(b.Context(), f.Tenant, f.ID, 1)
	require.NoError(b, err)
	_, _, err = s.AddBatch(b.Context(), completion.Batch{
		ID: completion.NewBatchID(), Tenant: "acme", State: completion.BatchValidating, Endpoint: completion.EndpointChat, Input: f.ID,
		CreatedAt: at, UpdatedAt: at, Deadline: at.Add(time.Hour),
	})
	require.NoError(b, err)
	list, err := s.TakeBatches(b.Context(), "bench", time.Hour, 1, at)
	require.NoError(b, err)
	require.NoError(b, s.MoveBatch(b.Context(), &list[0], completion.BatchInProgress, at))
	return list[0]
}

// benchLines are the jobs of n lines after one, with requests of that many bytes.
func benchLines(batch *completion.Batch, after, n, size int) []completion.Job {
	at := time.Now()
	jobs := make([]completion.Job, n)
	for i := range jobs {
		line := after + i + 1
		jobs[i] = completion.Job{
			ID: batch.LineJobID(line), Tenant: batch.Tenant, Lane: completion.LaneBatch, State: completion.Queued, Model: "m",
			Endpoint: batch.Endpoint, Request: fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, line, strings.Repeat("é\\n", size/4)),
			Batch: batch.ID, Line: line, CustomID: fmt.Sprint("line-", line), Deadline: batch.Deadline, CreatedAt: at, UpdatedAt: at,
		}
	}
	return jobs
}

func BenchmarkStore_FeedBatch(b *testing.B) {
	for _, size := range []int{200, 3000} {
		for _, n := range []int{500, 2000} {
			b.Run(fmt.Sprintf("%dBytes/%dLines", size, n), func(b *testing.B) {
				s := store.New(testkit.Postgres(b), store.Options{})
				batch := benchBatch(b, s)
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					jobs := benchLines(&batch, batch.Checkpoint.Fed, n, size)
					batch.Checkpoint.Fed += n
					b.StartTimer()
					require.NoError(b, s.FeedBatch(b.Context(), &batch, jobs))
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "lines/s")
			})
		}
	}
}
