package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
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

// jobStore is what a Store and its Group have in common.
type jobStore interface {
	Claim(ctx context.Context, ref completion.Ref, worker string, at time.Time) (completion.Job, error)
	Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error)
}

// Claim and Finish of lines by 64 callers at once.
func BenchmarkStore_ClaimAndFinish(b *testing.B) {
	for name, pick := range map[string]func(*store.Store) jobStore{
		"Single": func(s *store.Store) jobStore { return s },
		"Group":  func(s *store.Store) jobStore { return s.Group() },
	} {
		b.Run(name, func(b *testing.B) {
			s := store.New(testkit.Postgres(b), store.Options{})
			batch := benchBatch(b, s)
			require.NoError(b, s.Beat(b.Context(), "w", nil, time.Now()))
			target, n := pick(s), 2000
			result := []byte(`{"choices":[{"message":{"role":"assistant","content":"` + strings.Repeat("word ", 100) + `"}}]}`)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				jobs := benchLines(&batch, batch.Checkpoint.Fed, n, 500)
				batch.Checkpoint.Fed += n
				require.NoError(b, s.FeedBatch(b.Context(), &batch, jobs))
				b.StartTimer()
				work := make(chan completion.Ref)
				var wg sync.WaitGroup
				for range 64 {
					wg.Go(func() {
						for ref := range work {
							job, err := target.Claim(b.Context(), ref, "w", time.Now())
							if err == nil {
								_, err = target.Finish(b.Context(), ref, job.Attempt, completion.Outcome{State: completion.Completed, Upstream: "up", Result: result, Usage: []byte(`{"total_tokens":100}`), FinishReason: "stop", At: time.Now()})
							}
							if err != nil {
								b.Errorf("claim and finish: %v", err)
							}
						}
					})
				}
				for i := range jobs {
					work <- jobs[i].Ref()
				}
				close(work)
				wg.Wait()
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}
