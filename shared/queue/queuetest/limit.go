package queuetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// census counts who runs.
type census struct {
	mu         sync.Mutex
	busy, most map[string]int
}

func (c *census) add(tenant string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[tenant] += n
	c.most[tenant] = max(c.most[tenant], c.busy[tenant])
}

// total is how many run now.
func (c *census) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, busy := range c.busy {
		n += busy
	}
	return n
}

// peak returns how many ran at once at most, since the last call.
func (c *census) peak() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.most = map[string]int{} }()
	return c.most
}

func runningLimitHolds(t *testing.T, b *bundle) {
	ctx := t.Context()
	require.NoError(t, b.client.SetRunning(ctx, map[string]int{"a": 2, "*": 3, "free": 100, "none": 0, "below": -1}))
	c := &census{busy: map[string]int{}, most: map[string]int{}}
	finish := make(chan struct{})
	for range 2 { // the limit is the lane's, not a server's
		b.serve(t, func(_ context.Context, task completion.Task) error {
			c.add(task.Ref.Tenant, 1)
			defer c.add(task.Ref.Tenant, -1)
			<-finish
			return nil
		}, func(c *queue.Config) { c.Slots = 20 })
	}
	b.enqueueAll(t, of("a", 30))
	b.enqueueAll(t, of("other", 5))
	b.enqueueAll(t, of("free", 6))
	b.enqueueAll(t, of("none", 4))
	b.becomes(t, queue.Depth{Pending: 28 + 2 + 1, Active: 2 + 3 + 6 + 3})
	require.Eventually(t, func() bool { return c.total() == 14 }, patience, time.Millisecond) // a task is active before its handler starts
	for range 5 {
		finish <- struct{}{}
	}
	require.Eventually(t, func() bool { d := b.depth(t); return d.Pending+d.Active == 40 && d.Active >= 11 }, patience, time.Millisecond)
	require.Equal(t, map[string]int{"a": 2, "other": 3, "free": 6, "none": 3}, c.peak(), "those who are held back hold nobody up")

	require.NoError(t, b.client.SetRunning(ctx, map[string]int{"a": 9}))
	require.Eventually(t, func() bool { return b.running(t, "a") == 9 }, patience, time.Millisecond, "lifted")
	require.NoError(t, b.client.SetRunning(ctx, nil))
	close(finish)
	b.becomes(t, queue.Depth{})
	require.Zero(t, b.rc.Exists(ctx, "sluice:{interactive}:running", "sluice:{batch}:running").Val())
}

// running counts the tenant's active tasks.
func (b *bundle) running(t *testing.T, tenant string) (n int) {
	t.Helper()
	ids, err := b.rc.LRange(t.Context(), "asynq:{interactive}:active", 0, -1).Result()
	require.NoError(t, err)
	for _, active := range ids {
		if len(active) > len(tenant) && active[:len(tenant)+1] == tenant+":" {
			n++
		}
	}
	return n
}

func heldBackGoesOn(t *testing.T, b *bundle) {
	require.NoError(t, b.client.SetRunning(t.Context(), map[string]int{"*": 1}))
	require.NoError(t, b.client.SetRunning(t.Context(), map[string]int{"*": 1}), "again")
	got, finish := make(chan completion.Task), make(chan error)
	b.serve(t, func(_ context.Context, task completion.Task) error {
		got <- task
		return <-finish
	})
	line := of("acme", 12)
	b.enqueue(t, line...)
	for i, task := range line {
		require.Equal(t, task, receive(t, got), "the server polls once in an hour")
		require.Equal(t, 1, b.running(t, "acme"))
		if i%3 == 0 {
			finish <- &queue.Again{After: never} // also ends its run
		} else {
			finish <- nil
		}
	}
	b.becomes(t, queue.Depth{Retry: 4})
}

func runningBadTenant(t *testing.T, b *bundle) {
	for _, tenant := range []string{"", "#", "a:b", "**", "Acme"} {
		require.Error(t, b.client.SetRunning(t.Context(), map[string]int{tenant: 1}), tenant)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.client.SetRunning(ctx, map[string]int{"a": 1})
	require.Equal(t, completion.CodeUnavailable, completion.AsError(err).Code)
}

func admitNeverTooMany(t *testing.T, b *bundle) {
	const callers, limit = 50, 10
	line := of("acme", callers)
	b.enqueue(t, line[0]) // already one
	var admitted, full atomic.Int32
	var wg sync.WaitGroup
	for _, task := range line[1:] {
		wg.Go(func() {
			switch err := b.client.Admit(t.Context(), task, limit); {
			case errors.Is(err, queue.ErrFull):
				full.Add(1)
			case err != nil:
				t.Errorf("admit: %s", err)
			default:
				admitted.Add(1)
				if err := b.client.Enqueue(t.Context(), task); err != nil {
					t.Errorf("enqueue: %s", err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, limit-1, admitted.Load())
	require.EqualValues(t, callers-limit, full.Load())
	require.Equal(t, queue.Depth{Pending: limit}, b.depth(t))
	require.NoError(t, b.client.Admit(t.Context(), of("other", 1)[0], 1), "each tenant for itself")
	batch := line[49]
	batch.Lane = completion.LaneBatch
	require.NoError(t, b.client.Admit(t.Context(), batch, 1), "each lane for itself")
}

func reservationEnds(t *testing.T, b *bundle) {
	ctx, line := t.Context(), of("acme", 6)
	full := func(task completion.Task) {
		t.Helper()
		require.ErrorIs(t, b.client.Admit(ctx, task, 2), queue.ErrFull)
	}
	admit := func(task completion.Task) {
		t.Helper()
		require.NoError(t, b.client.Admit(ctx, task, 2))
	}
	admit(line[0])
	admit(line[1])
	admit(line[1]) // again: it is one place
	full(line[2])
	require.NoError(t, b.client.Withdraw(ctx, line[1]))
	require.NoError(t, b.client.Withdraw(ctx, line[5]), "none")
	admit(line[2])
	b.enqueue(t, line[0])
	full(line[3])
	require.Equal(t, queue.Depth{Pending: 1}, b.depth(t))

	past := float64(time.Now().Add(-time.Millisecond).UnixMilli()) // as if 30 s had passed
	require.NoError(t, b.rc.ZAdd(ctx, "sluice:{interactive}:admit:acme", redis.Z{Member: line[2].Ref.Job, Score: past}).Err())
	admit(line[3])
	full(line[4])
	require.Positive(t, b.rc.PTTL(ctx, "sluice:{interactive}:admit:acme").Val(), "nothing remains of a tenant who is gone")

	delayed := line[3]
	delayed.At = time.Now().Add(never)
	b.enqueue(t, delayed)
	require.NoError(t, b.client.Forget(ctx, delayed))
	admit(line[4]) // what is forgotten has no place
	next, stop := b.oneByOne(t)
	defer stop()
	require.Equal(t, line[0], next())
	admit(line[5]) // a running task has none either
	full(line[1])
}

func admitLongPending(t *testing.T, b *bundle) {
	ctx, k := t.Context(), "asynq:{interactive}:"
	const n = 10_050
	ids := make([]any, n)
	for i, task := range of("many", n) {
		ids[i] = id(task)
	}
	require.NoError(t, b.rc.RPush(ctx, k+"pending", ids...).Err()) // without their tasks, which are not looked at
	require.NoError(t, b.rc.LPush(ctx, k+"pending", ids[0]).Err())
	task := of("many", 1)[0]
	require.ErrorIs(t, b.client.Admit(ctx, task, n+1), queue.ErrFull)
	require.NoError(t, b.client.Admit(ctx, task, n+2))
	b.enqueue(t, task)
	require.Equal(t, queue.Depth{Pending: n + 2}, b.depth(t))
	got := make(chan completion.Task, 1)
	b.serve(t, into(got))
	require.Equal(t, task, receive(t, got))
	b.becomes(t, queue.Depth{})
}

func admitNoQuestion(t *testing.T, b *bundle) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	task := newTask(completion.LaneBatch)
	require.NoError(t, b.client.Admit(ctx, task, 0))
	require.NoError(t, b.client.Admit(ctx, task, -1))
	require.Equal(t, completion.CodeUnavailable, completion.AsError(b.client.Admit(ctx, task, 1)).Code)
	require.Equal(t, completion.CodeUnavailable, completion.AsError(b.client.Withdraw(ctx, task)).Code)
	require.Error(t, b.client.Admit(t.Context(), completion.Task{Lane: completion.LaneBatch}, 1))
	require.NotErrorIs(t, b.client.Admit(ctx, task, 1), queue.ErrFull)
}
