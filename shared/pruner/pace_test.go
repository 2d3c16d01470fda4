package pruner_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/pruner"
	"sluice/shared/store"
)

// heap has only jobs, and takes its time.
type heap struct {
	pruner.Store
	jobs  int
	each  time.Duration // of deleting one
	down  atomic.Bool
	next  time.Time
	looks []time.Time
	drops []span
}

type span struct {
	rows       int
	from, upto time.Time
}

func (h *heap) TakeLease(_ context.Context, _ store.Lease, at time.Time, _ bool) (bool, error) {
	if h.down.Load() {
		return false, errors.New("away")
	}
	if at.Before(h.next) {
		return false, nil
	}
	h.looks = append(h.looks, at)
	return true, nil
}

func (h *heap) LeaveLease(_ context.Context, _ store.Lease, next time.Time) error {
	h.next = next
	return nil
}

func (h *heap) Old(_ context.Context, kind store.Kind, _, _ time.Time, limit int) ([]store.Old, error) {
	if kind != store.KindJobs {
		return nil, nil
	}
	list := make([]store.Old, min(limit, h.jobs))
	for i := range list {
		list[i].Ref = completion.Ref{Tenant: "acme", Job: strconv.Itoa(i)}
	}
	return list, nil
}

func (h *heap) Drop(_ context.Context, _ store.Lease, _ store.Kind, ids []string, _ time.Time) (int, error) {
	from := time.Now()
	time.Sleep(time.Duration(len(ids)) * h.each) // the fake clock's
	h.jobs -= len(ids)
	h.drops = append(h.drops, span{len(ids), from, time.Now()})
	return len(ids), nil
}

func (h *heap) DropQuotaDays(context.Context, store.Lease, time.Time, time.Time, int) (int, error) {
	return 0, nil
}

func (h *heap) DropWorkers(context.Context, store.Lease, time.Time, time.Time) (int, error) {
	return 0, nil
}

// 100,000 rows go in chunks that fit the database's pace, and most of the time is left to others.
func TestPruner_Pace(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		each        time.Duration
		least, most int // rows of a chunk, once the pace is found
	}{
		"Quick": {10 * time.Microsecond, 1000, 1000},
		"Slow":  {time.Millisecond, 50, 100},
		"Stuck": {time.Second, 20, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &heap{jobs: 100_000, each: row.each}
				pruned, err := pruner.New(pruner.Parts{Store: h}, pruner.Config{JobRetention: month}).Sweep(t.Context(), false)
				require.NoError(t, err)
				require.Equal(t, 100_000, pruned[store.KindJobs])
				for i, d := range h.drops[:len(h.drops)-1] {
					pause := h.drops[i+1].from.Sub(d.upto)
					require.GreaterOrEqual(t, pause, 20*time.Millisecond)
					require.GreaterOrEqual(t, pause, min(4*d.upto.Sub(d.from), 30*time.Second))
					require.LessOrEqual(t, d.rows, 1000)
					if i > 8 {
						require.GreaterOrEqual(t, d.rows, row.least)
						require.LessOrEqual(t, d.rows, row.most)
					}
				}
			})
		})
	}
}

// A sweep comes soon after something has become old enough, and not more often.
func TestPruner_Run(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		cfg   pruner.Config
		every time.Duration
	}{
		"Default":  {pruner.Config{JobRetention: month, DeletedRetention: 24 * time.Hour}, 10 * time.Minute},
		"Short":    {pruner.Config{JobRetention: month, StoredRetention: time.Minute}, 3 * time.Second},
		"Shortest": {pruner.Config{FileRetention: time.Millisecond}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &heap{}
				ctx, cancel := context.WithTimeout(t.Context(), 100*row.every)
				defer cancel()
				require.NoError(t, pruner.New(pruner.Parts{Store: h}, row.cfg).Run(ctx))
				require.InDelta(t, 100, len(h.looks), 10)
			})
		})
	}
}

// An outage is waited for, and told of once.
func TestPruner_Outage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := &heap{jobs: 1}
		h.down.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- pruner.New(pruner.Parts{Store: h, Logger: slog.New(slog.NewTextHandler(&out, nil))}, pruner.Config{JobRetention: month}).Run(ctx)
		}()
		time.Sleep(time.Hour) // the fake clock's
		h.down.Store(false)
		time.Sleep(time.Hour) // the fake clock's
		cancel()
		require.NoError(t, <-done)
		require.Zero(t, h.jobs)
		require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("not pruned yet")))
		require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("pruned again")))
	})
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	require.NoError(t, pruner.Config{}.Validate())
	err := pruner.Config{JobRetention: -1, FileRetention: -time.Hour}.Validate()
	require.ErrorContains(t, err, "retention of jobs -1ns")
	require.ErrorContains(t, err, "retention of files -1h0m0s")
}
