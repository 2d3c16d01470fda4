// Package queuetest is the contract of the queue: what its callers rely on, whatever Redis is below.
package queuetest

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

const (
	patience = time.Minute // a test that waits longer hangs
	never    = time.Hour   // a poll that does not come during a test
)

// Run tests the queue over the Redis that open gives: an empty one for each call, closed at the end of its test.
func Run(t *testing.T, open func(testing.TB) redis.UniversalClient) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, open(t)))
		})
	}
}

// RunInTurn is Run with one test after the other, for a Redis that they share: open empties it.
func RunInTurn(t *testing.T, open func(testing.TB) redis.UniversalClient) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, setup(t, open(t))) })
	}
}

var tests = map[string]func(*testing.T, *bundle){
	"Enqueue/Once":               enqueueOnce,
	"Enqueue/Delayed":            enqueueDelayed,
	"Enqueue/RefusesBadTask":     enqueueRefusesBadTask,
	"EnqueueAll":                 enqueueAll,
	"EnqueueAll/Salvages":        enqueueAllSalvages,
	"Forget":                     forget,
	"Fresh":                      fresh,
	"Serve/WakeEndsTheWait":      wakeEndsTheWait,
	"Serve/AgainIsNotCounted":    againIsNotCounted,
	"Serve/ErrorsComeAgain":      errorsComeAgain,
	"Serve/TraceGoesAlong":       traceGoesAlong,
	"Serve/PoisonIsArchived":     poisonIsArchived,
	"Serve/I2_AckIsRepaired":     ackIsRepaired,
	"Serve/NotMineIsLeftAlone":   notMineIsLeftAlone,
	"Serve/LostLease":            lostLease,
	"Serve/SlotsAreRespected":    slotsAreRespected,
	"Serve/ManySlots":            manySlots,
	"Serve/I10_LanesAreSeparate": lanesAreSeparate,
	"Serve/I1_RedisIsWiped":      redisIsWiped,
	"Serve/ScriptsAreFlushed":    scriptsAreFlushed,
	"Stop/HandlersFinish":        handlersFinish,
	"Stop/ContextEndsAfterGrace": contextEndsAfterGrace,
	"Stop/DrainLimit":            drainLimit,
	"Stop/RacesWithStart":        stopRacesWithStart,
	"Stop/BadConfig":             badConfig,
	"Revive/I1_DeadServer":       reviveDeadServer,
	"Revive/Remains":             reviveRemains,
	"Fair/FewWaitForNobody":      fewWaitForNobody,
	"Fair/EqualShares":           equalShares,
	"Fair/GivenBackComesFirst":   givenBackComesFirst,
	"Fair/ForeignIDs":            foreignIDs,
	"Fair/RemainsAreDropped":     remainsAreDropped,
	"Fair/DepthAndForget":        depthAndForget,
	"Running/LimitHolds":         runningLimitHolds,
	"Running/HeldBackGoesOn":     heldBackGoesOn,
	"Running/BadTenant":          runningBadTenant,
	"Admit/NeverTooMany":         admitNeverTooMany,
	"Admit/ReservationEnds":      reservationEnds,
	"Admit/LongPending":          admitLongPending,
	"Admit/NoQuestion":           admitNoQuestion,
	"System/Oldest":              oldestWaits,
	"System/Accepted":            acceptedByTime,
}

// Empty removes all keys from a Redis, or from each master of a cluster.
func Empty(ctx context.Context, rc redis.UniversalClient) error {
	if c, ok := rc.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error { return m.FlushAll(ctx).Err() })
	}
	return rc.FlushAll(ctx).Err()
}

// bundle is one test's queue.
type bundle struct {
	rc     redis.UniversalClient
	client *queue.Client
	insp   *asynq.Inspector

	mu    sync.Mutex
	wakes map[completion.Lane]map[int]func()
	next  int
}

func setup(t *testing.T, rc redis.UniversalClient) *bundle {
	t.Helper()
	b := &bundle{rc: rc, insp: asynq.NewInspectorFromRedisClient(rc), wakes: map[completion.Lane]map[int]func(){}}
	b.client = queue.NewClient(rc, b.ring)
	require.NoError(t, b.client.Ping(t.Context()))
	return b
}

// ring and onWake are the wake-up, in one process.
func (b *bundle) ring(lane completion.Lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wake := range b.wakes[lane] {
		wake()
	}
}

func (b *bundle) onWake(lane completion.Lane) func(func()) (func(), error) {
	return func(wake func()) (func(), error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.wakes[lane] == nil {
			b.wakes[lane] = map[int]func(){}
		}
		id := b.next
		b.next++
		b.wakes[lane][id] = wake
		return func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.wakes[lane], id)
		}, nil
	}
}

// serve runs a server that never polls, until stop, which waits for it.
func (b *bundle) serve(t *testing.T, h queue.Handler, set ...func(*queue.Config)) (stop func()) {
	t.Helper()
	cfg := queue.Config{
		Lane: completion.LaneInteractive, Slots: 4, Handler: h, MaxWait: never,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range set {
		f(&cfg)
	}
	if cfg.OnWake == nil {
		cfg.OnWake = b.onWake(cfg.Lane)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- queue.NewServer(b.rc, cfg).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, receive(t, done))
	})
	t.Cleanup(stop)
	return stop
}

func (b *bundle) depth(t *testing.T) queue.Depth {
	t.Helper()
	d, err := b.client.Depth(t.Context(), completion.LaneInteractive)
	require.NoError(t, err)
	return d
}

// becomes waits until the interactive lane's depth is d.
func (b *bundle) becomes(t *testing.T, want queue.Depth) {
	t.Helper()
	var got queue.Depth
	require.Eventually(t, func() bool {
		got = b.depth(t)
		return got == want
	}, patience, 5*time.Millisecond, "the depth does not become %+v", want)
}

func (b *bundle) enqueue(t *testing.T, tasks ...completion.Task) {
	t.Helper()
	for _, task := range tasks {
		require.NoError(t, b.client.Enqueue(t.Context(), task))
	}
}

func (b *bundle) retried(t *testing.T, task completion.Task) int {
	t.Helper()
	info, err := b.insp.GetTaskInfo(string(task.Lane), id(task))
	require.NoError(t, err)
	return info.Retried
}

func newTask(lane completion.Lane) completion.Task {
	return completion.Task{Ref: completion.Ref{Tenant: "acme", Job: completion.NewJobID()}, Lane: lane}
}

// id is the task's id in Redis.
func id(t completion.Task) string { return t.Ref.Tenant + ":" + t.Ref.Job }

func newTasks(n int, lane completion.Lane) []completion.Task {
	tasks := make([]completion.Task, n)
	for i := range tasks {
		tasks[i] = newTask(lane)
	}
	return tasks
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// into is a handler that passes the tasks on and answers nil.
func into(ch chan completion.Task) queue.Handler {
	return func(_ context.Context, t completion.Task) error {
		ch <- t
		return nil
	}
}

// breakage fails the scripts that settle a task, some times, before they reach Redis.
type breakage struct {
	mu   sync.Mutex
	errs []error
}

func (b *breakage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *breakage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (b *breakage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := b.fault(cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (b *breakage) fault(cmd redis.Cmder) error {
	args := cmd.Args()
	if !strings.HasPrefix(cmd.Name(), "eval") || len(args) < 6 {
		return nil
	}
	key, _ := args[3].(string)
	if !strings.HasSuffix(key, ":active") {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.errs) == 0 {
		return nil
	}
	err := b.errs[0]
	b.errs = b.errs[1:]
	return err
}

func (b *breakage) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.errs)
}

// reply is an error that Redis itself answers.
type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

var errLine = errors.New("the line is dead")
