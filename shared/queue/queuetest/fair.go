package queuetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// of returns n tasks of the tenant.
func of(tenant string, n int) []completion.Task {
	tasks := newTasks(n, completion.LaneInteractive)
	for i := range tasks {
		tasks[i].Ref.Tenant = tenant
	}
	return tasks
}

func (b *bundle) enqueueAll(t *testing.T, tasks []completion.Task) {
	t.Helper()
	for _, err := range b.client.EnqueueAll(t.Context(), tasks) {
		require.NoError(t, err)
	}
}

// oneByOne runs a server that has one slot. Each call of next ends the task that runs and returns the one after it; stop
// leaves the one that runs as it is.
func (b *bundle) oneByOne(t *testing.T) (next func() completion.Task, stop func()) {
	t.Helper()
	started, finish := make(chan completion.Task), make(chan struct{}, 1)
	stop = b.serve(t, func(ctx context.Context, task completion.Task) error {
		select {
		case started <- task:
		case <-ctx.Done():
			return queue.ErrNotMine
		}
		select {
		case <-finish:
			return nil
		case <-ctx.Done():
			return queue.ErrNotMine
		}
	}, func(c *queue.Config) { c.Slots, c.Grace = 1, time.Nanosecond })
	first := true
	next = func() completion.Task {
		t.Helper()
		if !first {
			finish <- struct{}{}
		}
		first = false
		return receive(t, started)
	}
	return next, stop
}

func fewWaitForNobody(t *testing.T, b *bundle) {
	many, few := of("many", 2000), of("few", 3)
	b.enqueueAll(t, many)
	early := of("early", 1)[0]
	b.enqueue(t, early)
	next, stop := b.oneByOne(t)
	defer stop()
	require.Equal(t, many[0], next())
	require.Equal(t, early, next(), "all that waits is known before anything is taken")
	b.enqueue(t, few...)
	want := []completion.Task{many[1], few[0], many[2], few[1], many[3], few[2], many[4], many[5]}
	for i, task := range want {
		require.Equal(t, task, next(), i)
	}
	late := of("late", 1)[0]
	b.enqueue(t, late)
	require.Contains(t, []completion.Task{next(), next()}, late)
}

func equalShares(t *testing.T, b *bundle) {
	lines := map[string][]completion.Task{"a": of("a", 60), "b": of("b", 40), "c": of("c", 20)}
	for _, tenant := range []string{"a", "b", "c"} {
		b.enqueueAll(t, lines[tenant])
	}
	next, stop := b.oneByOne(t)
	defer stop()
	got := map[string]int{}
	take := func(n int) map[string]int {
		for range n {
			task := next()
			tenant := task.Ref.Tenant
			require.Equal(t, lines[tenant][got[tenant]], task, "each in its own order")
			got[tenant]++
		}
		return got
	}
	require.Equal(t, map[string]int{"a": 20, "b": 20, "c": 20}, take(60))
	require.Equal(t, map[string]int{"a": 40, "b": 40, "c": 20}, take(40), "an empty share goes to the others")
	require.Equal(t, map[string]int{"a": 60, "b": 40, "c": 20}, take(20))
}

func givenBackComesFirst(t *testing.T, b *bundle) {
	ctx, k := t.Context(), "asynq:{interactive}:"
	line := of("acme", 4)
	b.enqueue(t, line[:3]...)

	started, finish := make(chan completion.Task), make(chan struct{})
	stop := b.serve(t, func(_ context.Context, task completion.Task) error {
		started <- task
		<-finish
		return nil
	}, func(c *queue.Config) { c.Slots, c.DrainLimit = 1, time.Millisecond })
	require.Equal(t, line[0], receive(t, started))
	stop() // gives it back at the end of the drain limit
	close(finish)
	b.enqueue(t, line[3])
	b.enqueue(t, of("other", 1)...)
	require.Equal(t, queue.Depth{Pending: 5}, b.depth(t))

	own := func(next func() completion.Task) completion.Task {
		task := next()
		if task.Ref.Tenant != "acme" {
			task = next()
		}
		return task
	}
	next, stop := b.oneByOne(t)
	require.Equal(t, line[0], own(next))
	stop() // its handler says that the task is another's, as a dead worker would say nothing
	n, err := b.client.Revive(ctx, completion.LaneInteractive, 0)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	next, stop = b.oneByOne(t)
	require.Equal(t, line[0], own(next), "revived")
	stop()
	old := float64(time.Now().Add(20 * time.Second).Unix()) // the last heartbeat was 10 s ago
	require.NoError(t, b.rc.ZAdd(ctx, k+"lease", redis.Z{Member: id(line[0]), Score: old}).Err())
	n, err = b.client.Reclaim(ctx, completion.LaneInteractive, []completion.Ref{line[0].Ref, line[1].Ref})
	require.NoError(t, err)
	require.Equal(t, 1, n)

	next, stop = b.oneByOne(t)
	defer stop()
	for _, task := range line {
		require.Equal(t, task, own(next), "reclaimed, and the others in their order")
	}
}

func foreignIDs(t *testing.T, b *bundle) {
	ids := []string{"junk", ":", ":x", "x:", "a:b:c", "A:b", "a b:c", "*:x", "a:*", "#:1", "acme:jo b", "\u00e9:x", "a\n:b", "%a:%b", "}:{"}
	for _, foreign := range ids {
		b.poisonAs(t, completion.LaneInteractive, foreign, "something", "junk")
	}
	old := newTask(completion.LaneInteractive)
	b.poisonAs(t, old.Lane, old.Ref.Job, "completion", fmt.Sprintf(`{"v":1,"tenant":%q,"job":%q}`, old.Ref.Tenant, old.Ref.Job))
	own := newTask(completion.LaneInteractive)
	b.enqueue(t, own)
	got := make(chan completion.Task, 2)
	b.serve(t, into(got))
	require.ElementsMatch(t, []completion.Task{old, own}, []completion.Task{receive(t, got), receive(t, got)}, "an id of an older kind, and one of ours")
	b.becomes(t, queue.Depth{Archived: int64(len(ids))})
}

func remainsAreDropped(t *testing.T, b *bundle) {
	ctx, k := t.Context(), "asynq:{interactive}:"
	gone, twice, last := newTask(completion.LaneInteractive), newTask(completion.LaneInteractive), newTask(completion.LaneInteractive)
	alone := of("alone", 1)[0]
	b.enqueue(t, alone, gone, twice, last)
	require.NoError(t, b.rc.LPush(ctx, k+"pending", id(twice)).Err())
	require.NoError(t, b.rc.Del(ctx, k+"t:"+id(gone), k+"t:"+id(alone)).Err())
	next, stop := b.oneByOne(t)
	require.Equal(t, twice, next())
	require.Equal(t, last, next())
	require.Equal(t, queue.Depth{Pending: 1, Active: 1}, b.depth(t), "the second of the two")
	extra := newTask(completion.LaneInteractive)
	b.enqueue(t, extra)
	require.Equal(t, extra, next())
	stop()
	require.Equal(t, queue.Depth{Active: 1}, b.depth(t))
	require.Zero(t, b.rc.Exists(ctx, "sluice:{interactive}:ring").Val(), "nobody waits")
}

func depthAndForget(t *testing.T, b *bundle) {
	ctx := t.Context()
	a, c := of("a", 3), of("c", 2)
	b.enqueue(t, a...)
	b.enqueue(t, c[0])
	require.NoError(t, b.client.Admit(ctx, c[1], 10)) // sorts
	b.enqueue(t, c[1])
	require.Equal(t, queue.Depth{Pending: 5}, b.depth(t), "sorted or not")
	require.ErrorIs(t, b.client.Enqueue(ctx, a[0]), completion.ErrKnown)
	require.ErrorIs(t, b.client.EnqueueAll(ctx, c)[0], completion.ErrKnown)
	for _, task := range []completion.Task{a[1], c[0], c[1], c[1]} {
		require.NoError(t, b.client.Forget(ctx, task))
	}
	require.Equal(t, queue.Depth{Pending: 2}, b.depth(t))
	require.Equal(t, []string{"a"}, b.rc.LRange(ctx, "sluice:{interactive}:ring", 0, -1).Val(), "c has nothing left")
	b.enqueue(t, c[0])
	next, stop := b.oneByOne(t)
	defer stop()
	require.Equal(t, []completion.Task{a[0], c[0], a[2]}, []completion.Task{next(), next(), next()})
}
