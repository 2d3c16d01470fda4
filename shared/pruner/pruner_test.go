package pruner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/pruner"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logs note what was sealed, unless they are away.
type logs struct {
	mu     sync.Mutex
	away   bool
	sealed []string
}

func (l *logs) seal(id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return errors.New("NATS is away")
	}
	l.sealed = append(l.sealed, id)
	return nil
}

func (l *logs) Seal(_ context.Context, j completion.Job) error        { return l.seal(j.ID) }
func (l *logs) SealBatch(_ context.Context, b completion.Batch) error { return l.seal(b.ID) }

// each runs a test on each database.
func each(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) *bun.DB{"SQLite": testkit.SQLite, "PostgreSQL": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, store.New(open(t), store.Options{}))
		})
	}
}

const month = 720 * time.Hour

// job adds a job that ended that long ago.
func job(t *testing.T, s *store.Store, ago time.Duration, change ...func(*completion.Job)) completion.Job {
	t.Helper()
	at := time.Now().Add(-ago)
	j := completion.Job{
		ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Completed, Model: "m",
		Request: json.RawMessage(`{}`), CreatedAt: at, UpdatedAt: at, FinishedAt: at,
	}
	for _, c := range change {
		c(&j)
	}
	j, _, err := s.Add(t.Context(), &j)
	require.NoError(t, err)
	return j
}

// batch adds a batch that ended that long ago, with so many lines.
func batch(t *testing.T, s *store.Store, ago time.Duration, lines int) completion.Batch {
	t.Helper()
	at := time.Now()
	f := completion.File{ID: completion.NewFileID(), Tenant: "acme", Purpose: completion.PurposeBatch, CreatedAt: at}
	require.NoError(t, s.AddFile(t.Context(), f))
	_, err := s.ReadyFile(t.Context(), f.Tenant, f.ID, 1)
	require.NoError(t, err)
	_, _, err = s.AddBatch(t.Context(), completion.Batch{
		ID: completion.NewBatchID(), Tenant: "acme", State: completion.BatchValidating, Endpoint: completion.EndpointChat, Input: f.ID,
		CreatedAt: at, UpdatedAt: at, Deadline: at.Add(time.Hour),
	})
	require.NoError(t, err)
	list, err := s.TakeBatches(t.Context(), "me", time.Minute, 1, at)
	require.NoError(t, err)
	b := list[0]
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchInProgress, at))
	jobs := make([]completion.Job, lines)
	for i := range jobs {
		jobs[i] = completion.Job{
			ID: b.LineJobID(i + 1), Tenant: "acme", Lane: completion.LaneBatch, State: completion.Queued, Model: "m", Endpoint: b.Endpoint,
			Request: json.RawMessage(`{}`), Batch: b.ID, Line: i + 1, CreatedAt: at, UpdatedAt: at,
		}
	}
	b.Checkpoint.Fed = lines
	require.NoError(t, s.FeedBatch(t.Context(), &b, jobs))
	_, err = s.EndLines(t.Context(), b.Ref(), completion.Cancelled, at.Add(-ago))
	require.NoError(t, err)
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchFinalizing, at))
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchCompleted, at.Add(-ago)))
	return b
}

func lines(t *testing.T, s *store.Store, b completion.Batch) (n int) {
	t.Helper()
	counts, err := s.CountLines(t.Context(), b.Ref())
	require.NoError(t, err)
	for _, of := range counts {
		n += of
	}
	return n
}

func exists(t *testing.T, s *store.Store, j completion.Job) bool {
	t.Helper()
	_, err := s.Get(t.Context(), j.Ref())
	if err != nil {
		require.ErrorIs(t, err, completion.ErrNotFound)
	}
	return err == nil
}

// Each kind has its own age, and what has none stays for ever.
func TestPruner_Ages(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		stored := func(j *completion.Job) { j.Stored = true }
		old, young, kept := job(t, s, month+time.Minute), job(t, s, month-time.Minute), job(t, s, 100*month, stored)
		b, events := batch(t, s, 2*month, 3), &logs{}
		require.NoError(t, s.Beat(t.Context(), "dead", nil, time.Now().Add(-25*time.Hour)))
		var out bytes.Buffer
		p := pruner.New(pruner.Parts{Store: s, Log: events, Logger: slog.New(slog.NewTextHandler(&out, nil))}, pruner.Config{JobRetention: month, BatchRetention: 2 * month})
		counts, err := p.Count(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[store.Kind]int{
			store.KindJobs: 1, store.KindBatches: 1, store.KindLines: 3, store.KindQuotaDays: 0, store.KindWorkers: 1,
		}, counts)
		pruned, err := p.Sweep(t.Context(), false)
		require.NoError(t, err)
		require.Equal(t, map[store.Kind]int{store.KindJobs: 1, store.KindBatches: 1, store.KindLines: 3, store.KindWorkers: 1}, pruned)
		require.False(t, exists(t, s, old))
		require.True(t, exists(t, s, young))
		require.True(t, exists(t, s, kept))
		require.Zero(t, lines(t, s, b))
		require.Contains(t, out.String(), "jobs=1 batches=1 lines=3 workers=1")
		require.Empty(t, events.sealed, "nobody reads logs that old")
		_, err = p.Sweep(t.Context(), false)
		require.ErrorIs(t, err, pruner.ErrBusy, "it is not due")
		out.Reset()
		pruned, err = p.Sweep(t.Context(), true)
		require.NoError(t, err)
		require.Empty(t, pruned)
		require.Empty(t, out.String(), "there is nothing to tell")
	})
}

// TestPruner_I3_EndIsTold: what ended of late does not go before its log has its end.
func TestPruner_I3_EndIsTold(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		j, b, events := job(t, s, time.Hour), batch(t, s, time.Hour, 2), &logs{away: true}
		cfg := pruner.Config{JobRetention: time.Minute, BatchRetention: time.Minute}
		blind := pruner.New(pruner.Parts{Store: s}, cfg)
		counts, err := blind.Count(t.Context())
		require.NoError(t, err)
		require.Zero(t, counts[store.KindJobs]+counts[store.KindBatches]+counts[store.KindLines])
		for range 2 {
			pruned, err := blind.Sweep(t.Context(), true)
			require.NoError(t, err)
			require.Empty(t, pruned, "it cannot tell")
		}
		p := pruner.New(pruner.Parts{Store: s, Log: events}, cfg)
		pruned, err := p.Sweep(t.Context(), true)
		require.ErrorContains(t, err, "tell the end of "+j.ID)
		require.ErrorContains(t, err, "tell the end of "+b.ID)
		require.Empty(t, pruned)
		require.True(t, exists(t, s, j))
		events.away = false
		pruned, err = p.Sweep(t.Context(), false)
		require.NoError(t, err, "it is due again at once")
		require.Equal(t, map[store.Kind]int{store.KindJobs: 1, store.KindBatches: 1, store.KindLines: 2}, pruned)
		require.Equal(t, []string{j.ID, b.ID}, events.sealed)
	})
}

// Many go in chunks. Whoever is killed in the middle leaves the rest to the next one, and of several one prunes.
func TestPruner_Chunks(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const all = 1500
		b := batch(t, s, 2*month, all)
		ctx, kill := context.WithCancel(t.Context())
		defer kill()
		var chunks []int
		note := func(kind store.Kind, n int) {
			if kind == store.KindLines {
				chunks = append(chunks, n)
				kill()
			}
		}
		_, err := pruner.New(pruner.Parts{Store: s, Pruned: note}, pruner.Config{BatchRetention: month}).Sweep(ctx, false)
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, chunks, 1)
		require.Equal(t, all-chunks[0], lines(t, s, b))
		_, err = s.Batch(t.Context(), b.Ref())
		require.ErrorIs(t, err, completion.ErrNotFound)

		var mu sync.Mutex
		var several sync.WaitGroup
		total := chunks[0]
		for range 4 {
			several.Go(func() {
				p := pruner.New(pruner.Parts{Store: s, Pruned: func(_ store.Kind, n int) {
					mu.Lock()
					defer mu.Unlock()
					chunks, total = append(chunks, n), total+n
				}}, pruner.Config{}) // it is not asked for batches any more, and goes on with those that are gone
				if _, err := p.Sweep(t.Context(), false); err != nil && !errors.Is(err, pruner.ErrBusy) {
					t.Errorf("sweep: %v", err)
				}
			})
		}
		several.Wait()
		require.Zero(t, lines(t, s, b))
		require.Equal(t, all, total, "each went once")
		require.Greater(t, len(chunks), 2)
		for _, n := range chunks {
			require.LessOrEqual(t, n, 1000)
		}
	})
}
