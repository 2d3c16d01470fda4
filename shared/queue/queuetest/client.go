package queuetest

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

func enqueueOnce(t *testing.T, b *bundle) {
	task := newTask(completion.LaneInteractive)
	b.enqueue(t, task)
	require.ErrorIs(t, b.client.Enqueue(t.Context(), task), completion.ErrKnown, "waiting")

	got, answer := make(chan completion.Task), make(chan error)
	b.serve(t, func(_ context.Context, t completion.Task) error {
		got <- t
		return <-answer
	})
	require.Equal(t, task, receive(t, got))
	require.ErrorIs(t, b.client.Enqueue(t.Context(), task), completion.ErrKnown, "running")

	answer <- &queue.Again{After: never}
	b.becomes(t, queue.Depth{Retry: 1})
	require.ErrorIs(t, b.client.Enqueue(t.Context(), task), completion.ErrKnown, "handed back")

	require.NoError(t, b.client.Forget(t.Context(), task))
	b.enqueue(t, task)
	receive(t, got)
	answer <- nil
	b.becomes(t, queue.Depth{})
	b.enqueue(t, task)
	receive(t, got)
	answer <- nil
}

func enqueueDelayed(t *testing.T, b *bundle) {
	got := make(chan completion.Task, 1)
	b.serve(t, into(got))
	task := newTask(completion.LaneInteractive)
	task.At = time.Now().Add(300 * time.Millisecond)
	b.enqueue(t, task)
	require.ErrorIs(t, b.client.Enqueue(t.Context(), task), completion.ErrKnown)
	require.Equal(t, task.Ref, receive(t, got).Ref, "without a wake-up from outside")
	require.False(t, time.Now().Before(task.At), "never early")
}

func enqueueRefusesBadTask(t *testing.T, b *bundle) {
	require.Error(t, b.client.Enqueue(t.Context(), newTask("express")))
	require.Error(t, b.client.Enqueue(t.Context(), completion.Task{Lane: completion.LaneBatch}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.client.Enqueue(ctx, newTask(completion.LaneBatch))
	require.Equal(t, completion.CodeUnavailable, completion.AsError(err).Code)
	require.True(t, completion.AsError(err).Retryable)
}

func enqueueAll(t *testing.T, b *bundle) {
	tasks := append(newTasks(601, completion.LaneInteractive), newTasks(602, completion.LaneBatch)...)
	for i := range tasks {
		if i%7 == 0 {
			tasks[i].At = time.Now().Add(never)
		}
	}
	b.enqueue(t, tasks[0], tasks[600], tasks[601])
	require.NoError(t, b.rc.ScriptFlush(t.Context()).Err())
	bad := completion.Task{Lane: completion.LaneBatch}
	errs := b.client.EnqueueAll(t.Context(), append(tasks, bad, tasks[1]))
	require.Len(t, errs, len(tasks)+2)
	for i, err := range errs[:len(tasks)] {
		if i == 0 || i == 600 || i == 601 {
			require.ErrorIs(t, err, completion.ErrKnown, i)
		} else {
			require.NoError(t, err, i)
		}
	}
	require.Error(t, errs[len(tasks)])
	require.ErrorIs(t, errs[len(tasks)+1], completion.ErrKnown, "twice in one call")
	require.Equal(t, queue.Depth{Pending: 515, Scheduled: 86}, b.depth(t))
	for _, err := range b.client.EnqueueAll(t.Context(), tasks) {
		require.ErrorIs(t, err, completion.ErrKnown)
	}
	require.Empty(t, b.client.EnqueueAll(t.Context(), nil))
	got := make(chan completion.Task, len(tasks))
	b.serve(t, into(got))
	for range 515 {
		receive(t, got)
	}
	b.becomes(t, queue.Depth{Scheduled: 86})
}

func enqueueAllSalvages(t *testing.T, b *bundle) {
	ctx, task := t.Context(), newTask(completion.LaneInteractive)
	for name, spoil := range map[string]func(k string){
		"archived": func(string) {
			require.NoError(t, b.insp.ArchiveTask(string(task.Lane), id(task)))
		},
		"active without a lease": func(k string) {
			b.take(t, task, time.Minute)
			require.NoError(t, b.rc.ZRem(ctx, k+"lease", id(task)).Err())
		},
		"in no list": func(k string) {
			require.NoError(t, b.rc.HSet(ctx, k+"t:"+id(task), "state", "active").Err())
			require.NoError(t, b.rc.Del(ctx, k+"pending").Err())
		},
		"without its message": func(k string) {
			b.take(t, task, time.Minute)
			require.NoError(t, b.rc.HDel(ctx, k+"t:"+id(task), "msg").Err())
		},
	} {
		b.enqueue(t, task)
		spoil("asynq:{interactive}:")
		require.ErrorIs(t, b.client.Enqueue(ctx, task), completion.ErrKnown, name)
		require.NoError(t, b.client.EnqueueAll(ctx, []completion.Task{task})[0], name)
		require.Equal(t, queue.Depth{Pending: 1}, b.depth(t), name)
		require.NoError(t, b.client.Forget(ctx, task))
	}
	b.enqueue(t, task)
	b.take(t, task, time.Minute)
	require.ErrorIs(t, b.client.EnqueueAll(ctx, []completion.Task{task})[0], completion.ErrKnown, "a running task is left alone")
	require.Equal(t, queue.Depth{Active: 1}, b.depth(t))
}

func forget(t *testing.T, b *bundle) {
	ctx := t.Context()
	waiting, delayed, running := newTask(completion.LaneInteractive), newTask(completion.LaneInteractive), newTask(completion.LaneInteractive)
	delayed.At = time.Now().Add(never)
	require.NoError(t, b.client.Forget(ctx, waiting), "unknown")
	b.enqueue(t, running, waiting, delayed)
	b.take(t, running, time.Minute)
	for _, task := range []completion.Task{waiting, delayed, running, waiting} {
		require.NoError(t, b.client.Forget(ctx, task))
	}
	require.Equal(t, queue.Depth{Active: 1}, b.depth(t))
	b.enqueue(t, waiting, delayed)
}

func fresh(t *testing.T, b *bundle) {
	ctx := t.Context()
	is := func(c *queue.Client, want bool, why string) {
		t.Helper()
		got, err := c.Fresh(ctx)
		require.NoError(t, err)
		require.Equal(t, want, got, why)
	}
	second := queue.NewClient(b.rc, nil)
	is(b.client, true, "empty")
	is(b.client, false, "as before")
	is(second, false, "filled by another")
	is(b.client, false, "as before, with another in between")
	require.NoError(t, Empty(ctx, b.rc))
	is(second, true, "lost")
	is(b.client, true, "lost, and another came first")
	is(b.client, false, "as before")
	for range 10 {
		is(second, false, "as before")
	}
	require.NoError(t, b.rc.Set(ctx, "sluice:{batch}:tide", 5, 0).Err())
	is(second, true, "one lane's keys come from an older copy")
	is(second, false, "as before")
}

func reviveDeadServer(t *testing.T, b *bundle) {
	ctx := t.Context()
	dead, alive := newTasks(105, completion.LaneInteractive), newTasks(3, completion.LaneInteractive)
	for _, task := range dead {
		b.enqueue(t, task)
		b.take(t, task, 15*time.Second) // the last heartbeat was 15 s ago
	}
	for _, task := range alive {
		b.enqueue(t, task)
		b.take(t, task, 24*time.Second)
	}
	rung := make(chan completion.Lane, 1)
	n, err := queue.NewClient(b.rc, func(l completion.Lane) { rung <- l }).Revive(ctx, completion.LaneInteractive, queue.DeadAfter)
	require.NoError(t, err)
	require.Equal(t, len(dead), n)
	require.Equal(t, completion.LaneInteractive, receive(t, rung), "the servers are woken")
	require.Equal(t, queue.Depth{Pending: 105, Active: 3}, b.depth(t))
	require.Zero(t, b.retried(t, dead[0]))
	n, err = b.client.Revive(ctx, completion.LaneInteractive, queue.DeadAfter)
	require.NoError(t, err)
	require.Zero(t, n)
	got := make(chan completion.Task, len(dead))
	b.serve(t, into(got))
	for range dead {
		receive(t, got)
	}
	b.becomes(t, queue.Depth{Active: 3})
}

func reviveRemains(t *testing.T, b *bundle) {
	ctx, k := t.Context(), "asynq:{interactive}:"
	leaseless, empty, orphan := newTask(completion.LaneInteractive), newTask(completion.LaneInteractive), newTask(completion.LaneInteractive)
	for _, task := range []completion.Task{leaseless, empty} {
		b.enqueue(t, task)
		b.take(t, task, 0)
	}
	require.NoError(t, b.rc.ZRem(ctx, k+"lease", id(leaseless)).Err())
	require.NoError(t, b.rc.HDel(ctx, k+"t:"+id(empty), "msg").Err())
	require.NoError(t, b.rc.ZAdd(ctx, k+"lease", redis.Z{Member: id(orphan)}).Err())
	require.Eventually(t, func() bool { // an orphaned lease hides a missing one until the next call
		_, err := b.client.Revive(ctx, completion.LaneInteractive, queue.DeadAfter)
		require.NoError(t, err)
		return b.depth(t) == queue.Depth{Pending: 1}
	}, patience, time.Millisecond)
	require.Zero(t, b.rc.ZCard(ctx, k+"lease").Val())
	b.enqueue(t, empty, orphan)
	require.ErrorIs(t, b.client.Enqueue(ctx, leaseless), completion.ErrKnown)
}

// take does what a server does with the only waiting task, and then lets it alone with a lease of left.
func (b *bundle) take(t *testing.T, task completion.Task, left time.Duration) {
	t.Helper()
	ctx, k := t.Context(), "asynq:{"+string(task.Lane)+"}:"
	require.NoError(t, b.rc.LRem(ctx, k+"pending", 1, id(task)).Err())
	require.NoError(t, b.rc.LPush(ctx, k+"active", id(task)).Err())
	require.NoError(t, b.rc.HSet(ctx, k+"t:"+id(task), "state", "active").Err())
	end := float64(time.Now().Add(left).Unix())
	require.NoError(t, b.rc.ZAdd(ctx, k+"lease", redis.Z{Member: id(task), Score: end}).Err())
}

// poison enqueues a task of the same id with another payload.
func (b *bundle) poison(t *testing.T, task completion.Task, name, payload string) {
	t.Helper()
	b.poisonAs(t, task.Lane, id(task), name, payload)
}

func (b *bundle) poisonAs(t *testing.T, lane completion.Lane, taskID, name, payload string) {
	t.Helper()
	_, err := asynq.NewClientFromRedisClient(b.rc).EnqueueContext(t.Context(), asynq.NewTask(name, []byte(payload)),
		asynq.TaskID(taskID), asynq.Queue(string(lane)))
	require.NoError(t, err)
	b.ring(lane)
}
