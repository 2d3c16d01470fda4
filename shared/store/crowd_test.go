package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// testCrowd notes who went together, and how often somebody went alone. The first call waits for open.
type testCrowd struct {
	crowd[int]
	open    chan struct{}
	mu      sync.Mutex
	sizes   []int
	singles map[string]int
	lonely  atomic.Int32
	most    int32 // that were alone at once
	fail    error
	skip    string // the job that together does not change
}

func newTestCrowd() *testCrowd {
	c := &testCrowd{crowd: crowd[int]{pause: workPause}, open: make(chan struct{}), singles: map[string]int{}}
	c.single = func(_ context.Context, w *call[int]) {
		<-c.open
		n := c.lonely.Add(1)
		defer c.lonely.Add(-1)
		runtime.Gosched()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.most = max(c.most, n)
		c.singles[w.ref.Job]++
		w.job.ID = w.ref.Job
	}
	c.together = func(_ context.Context, list []*call[int]) ([]jobRow, error) {
		c.sizes = append(c.sizes, len(list))
		var rows []jobRow
		for _, w := range list {
			if w.ref.Job != c.skip {
				rows = append(rows, jobRow{ID: w.ref.Job, Attempt: w.args})
			}
		}
		return rows, c.fail
	}
	return c
}

// ask makes n calls while a first one is under way, lets that one go on, and returns their answers.
func (c *testCrowd) ask(n int, name func(int) string) (list []completion.Job, errs []error) {
	list, errs = make([]completion.Job, n), make([]error, n)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.do(context.Background(), completion.Ref{Job: "first"}, 0) })
	synctest.Wait()
	for i := range n {
		wg.Go(func() {
			job, err := c.do(context.Background(), completion.Ref{Job: name(i)}, i)
			list[i], errs[i] = *job, err
		})
		synctest.Wait()
	}
	close(c.open)
	wg.Wait()
	time.Sleep(c.pause) // the pause after the last statement
	return list, errs
}

func number(i int) string { return fmt.Sprintf("job_%03d", i) }

func TestCrowd_Together(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCrowd()
		list, errs := c.ask(300, number)
		require.Equal(t, []int{maxTogether, maxTogether, 300 - 2*maxTogether}, c.sizes)
		require.Equal(t, map[string]int{"first": 1}, c.singles)
		for i := range list {
			require.NoError(t, errs[i])
			require.Equal(t, number(i), list[i].ID)
			require.Equal(t, i, list[i].Attempt)
		}
		synctest.Wait()
		require.Empty(t, c.waiting)
		require.False(t, c.busy)
		_, err := c.do(t.Context(), completion.Ref{Job: "first"}, 0)
		require.NoError(t, err)
		require.Equal(t, 2, c.singles["first"], "nobody is there again")
	})
}

// Calls for one job do not go in one statement, which changes it once.
func TestCrowd_SameJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCrowd()
		list, _ := c.ask(6, func(i int) string { return number(i / 2) })
		require.Equal(t, []int{3, 3}, c.sizes)
		for i := range list {
			require.Equal(t, number(i/2), list[i].ID)
			require.Equal(t, i, list[i].Attempt)
		}
	})
}

// What the statement did not change goes alone, and so does all of it if it failed.
func TestCrowd_Alone(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		n       int
		skip    string
		fail    error
		singles int
	}{
		"NotChanged": {5, number(2), nil, 1},
		"Failed":     {5, "", errors.New("a row is wrong"), 5},
		"Deadlock":   {5, "", &pgconn.PgError{Code: "40P01"}, 5},
		"Pair":       {1, "", nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newTestCrowd()
				c.skip, c.fail = row.skip, row.fail
				list, errs := c.ask(row.n, number)
				for i := range list {
					require.NoError(t, errs[i])
					require.Equal(t, number(i), list[i].ID)
				}
				require.Len(t, c.singles, 1+row.singles)
			})
		})
	}
}

// If the database is away nobody asks it again alone.
func TestCrowd_DatabaseAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCrowd()
		c.fail = context.DeadlineExceeded
		_, errs := c.ask(5, number)
		for _, err := range errs {
			require.Equal(t, completion.CodeUnavailable, completion.AsError(err).Code)
		}
		require.Len(t, c.singles, 1)
	})
}

// Who has left is not waited for, and nothing is done for him.
func TestCrowd_CallerGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCrowd()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = c.do(t.Context(), completion.Ref{Job: "first"}, 0) })
		synctest.Wait()
		var gone error
		wg.Go(func() { _, gone = c.do(ctx, completion.Ref{Job: "gone"}, 0) })
		for i := range 2 {
			wg.Go(func() { _, _ = c.do(t.Context(), completion.Ref{Job: number(i)}, 0) })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.ErrorIs(t, gone, context.Canceled)
		close(c.open)
		wg.Wait()
		time.Sleep(c.pause) // the pause after the last statement
		require.Equal(t, []int{2}, c.sizes)
	})
}

// A statement that fails for all sends everybody away alone, but not all at once: others need connections too.
func TestCrowd_I10_NotAllAloneAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCrowd()
		c.fail = errors.New("one of them is wrong")
		_, errs := c.ask(maxTogether, func(i int) string { return fmt.Sprint(i) })
		for _, err := range errs {
			require.NoError(t, err)
		}
		require.Len(t, c.singles, maxTogether+1)
		require.LessOrEqual(t, c.most, int32(2))
	})
}
