package sweeper_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/queue"
	"sluice/shared/sweeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store of jobs with a switch for outages.
type memory struct {
	mu    sync.Mutex
	jobs  []completion.Job
	seen  map[string]time.Time // when a job's worker was last seen
	down  bool
	hang  time.Duration // the next Expire takes so long
	calls int

	sealed []string
}

const workerTTL = 8 * time.Second

func (m *memory) Orphans(_ context.Context, before, _ time.Time, after string, limit int) ([]completion.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	return m.find(after, limit, func(j completion.Job) bool {
		return j.State == completion.Queued && j.UpdatedAt.Before(before)
	})
}

func (m *memory) Abandoned(_ context.Context, now time.Time, after string, limit int) ([]completion.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Year() < 1970 {
		return nil, errors.New("no database knows such a time")
	}
	return m.find(after, limit, func(j completion.Job) bool {
		return j.State == completion.Running && m.seen[j.ID].Add(workerTTL).Before(now)
	})
}

func (m *memory) find(after string, limit int, like func(completion.Job) bool) ([]completion.Job, error) {
	if m.down {
		return nil, errors.New("the store is down")
	}
	var out []completion.Job
	for _, j := range m.jobs {
		if like(j) && j.ID > after && len(out) < limit {
			out = append(out, j)
		}
	}
	return out, nil
}

func (m *memory) Expire(_ context.Context, now time.Time, limit int) ([]completion.Job, error) {
	m.mu.Lock()
	hang := m.hang
	m.hang = 0
	m.mu.Unlock()
	time.Sleep(hang) // the fake clock's
	m.mu.Lock()
	defer m.mu.Unlock()
	late, err := m.find("", limit, func(j completion.Job) bool { return j.State == completion.Queued && j.Overdue(now) })
	for _, l := range late {
		for i := range m.jobs {
			if m.jobs[i].ID == l.ID {
				m.jobs[i].State = completion.Expired
			}
		}
	}
	return late, err
}

func (m *memory) Get(_ context.Context, ref completion.Ref) (completion.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.jobs, func(j completion.Job) bool { return j.ID == ref.Job })
	return m.jobs[i], nil
}

func (m *memory) Finish(_ context.Context, ref completion.Ref, _ int, o completion.Outcome) (completion.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.jobs, func(j completion.Job) bool { return j.ID == ref.Job })
	m.jobs[i].State, m.jobs[i].Result = o.State, o.Result
	return m.jobs[i], nil
}

// Open and Read are those of a log in which a dead worker has said one word.
func (m *memory) Open(context.Context, completion.Ref) (completion.Tail, error) { return said{}, nil }

func (m *memory) Read(context.Context, completion.Ref) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		for i, e := range []completion.Event{{Type: completion.EventStarted}, {Type: completion.EventDelta, Chunks: []json.RawMessage{
			json.RawMessage(`{"choices":[{"index":0,"delta":{"content":"word"}}]}`),
		}}} {
			data, err := e.Encode()
			if !yield(completion.Record{Seq: int64(i) + 1, Type: e.Type, Data: data}, err) {
				return
			}
		}
	}
}

func (m *memory) Follow(context.Context, completion.Ref, int64) iter.Seq2[completion.Record, error] {
	panic("the sweeper does not follow")
}

// said is the end of that log.
type said struct{}

func (said) Last() completion.Record {
	return completion.Record{Seq: 2, Type: completion.EventDelta}
}
func (said) Append(context.Context, completion.Event) error { return nil }
func (said) Offer(context.Context, *completion.Event, func(error)) {
	panic("an end is waited for")
}

func (m *memory) Seal(_ context.Context, job completion.Job) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sealed = append(m.sealed, job.ID)
	return nil
}

func (m *memory) add(n int, lane completion.Lane, state completion.State) []completion.Job {
	m.mu.Lock()
	defer m.mu.Unlock()
	var added []completion.Job
	for range n {
		j := completion.Job{ID: completion.NewJobID(), Tenant: "acme", Lane: lane, State: state, UpdatedAt: time.Now()}
		if state == completion.Running {
			m.seen[j.ID] = time.Now()
		}
		added = append(added, j)
	}
	m.jobs = append(m.jobs, added...)
	slices.SortFunc(m.jobs, func(a, b completion.Job) int { return strings.Compare(a.ID, b.ID) })
	return added
}

func (m *memory) snapshot() (jobs []completion.Job, sealed []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.jobs), slices.Clone(m.sealed)
}

func (m *memory) beat(j completion.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[j.ID] = time.Now()
}

func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

func (m *memory) setHang(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hang = d
}

func (m *memory) takeCalls() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() { m.calls = 0 }()
	return m.calls
}

// bench is a sweeper between a memory and the real queue, in a bubble's time.
type bench struct {
	store  *memory
	rc     redis.UniversalClient
	client *queue.Client
	start  func()
}

func run(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, err := embedded.StartRedis()
		require.NoError(t, err)
		defer srv.Close()
		rc := srv.Client(0)
		defer func() { require.NoError(t, rc.Close()) }()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		b := &bench{store: &memory{seen: map[string]time.Time{}}, rc: rc, client: queue.NewClient(rc, nil)}
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		b.start = func() {
			s := sweeper.New(b.store, queue.NewClient(rc, nil), b.store, sweeper.Config{}, log)
			wg.Go(func() { require.NoError(t, s.Run(ctx)) })
			b.pass(0)
		}
		test(t, b)
	})
}

// pass lets time pass, and what begins in it come to its end.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d + time.Microsecond) // the fake clock passes d, and a moment more, so that what is due then begins
	synctest.Wait()
}

func (b *bench) pending(t *testing.T, lane completion.Lane) int {
	t.Helper()
	d, err := b.client.Depth(t.Context(), lane)
	require.NoError(t, err)
	return int(d.Pending)
}

func TestSweeper_I1_AtStartAllJobsAreEnqueued(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.store.add(600, completion.LaneBatch, completion.Queued)
		b.store.add(700, completion.LaneInteractive, completion.Queued)
		b.pass(time.Second)
		b.start()
		require.Equal(t, 600, b.pending(t, completion.LaneBatch), "young ones too")
		require.Equal(t, 700, b.pending(t, completion.LaneInteractive))
	})
}

func TestSweeper_I1_QueueLosesEverything(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.start()
		b.start() // two are no worse than one
		b.store.add(1200, completion.LaneBatch, completion.Queued)
		b.pass(time.Minute)
		require.Equal(t, 1200, b.pending(t, completion.LaneBatch))
		b.store.add(1, completion.LaneBatch, completion.Queued)
		require.NoError(t, b.rc.FlushAll(t.Context()).Err())
		b.pass(3 * time.Second)
		require.Equal(t, 1201, b.pending(t, completion.LaneBatch), "within one tick, whatever their age")
	})
}

func TestSweeper_GraceForYoungJobs(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.start()
		b.store.add(1, completion.LaneInteractive, completion.Queued)
		b.pass(9 * time.Second)
		require.Zero(t, b.pending(t, completion.LaneInteractive), "its own process is about to enqueue it")
		b.pass(9 * time.Second)
		require.Equal(t, 1, b.pending(t, completion.LaneInteractive))
	})
}

func TestSweeper_KnownBacklogCostsLittle(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.store.add(3000, completion.LaneBatch, completion.Queued)
		b.pass(time.Second)
		b.start()
		b.pass(20 * time.Second)
		b.store.takeCalls()
		b.pass(time.Minute)
		require.LessOrEqual(t, b.store.takeCalls(), 15*4, "4 pages in 4 to 7 seconds")
		jobs, _ := b.store.snapshot()
		last := jobs[2999]
		require.NoError(t, b.client.Forget(t.Context(), last.Task()))
		b.pass(30 * time.Second)
		require.Equal(t, 3000, b.pending(t, completion.LaneBatch), "the cursor comes round")
	})
}

func TestSweeper_DeadWorkersJobIsEnqueued(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.start()
		b.store.add(1, completion.LaneInteractive, completion.Running)
		b.pass(workerTTL)
		require.Zero(t, b.pending(t, completion.LaneInteractive))
		b.pass(8 * time.Second)
		require.Equal(t, 1, b.pending(t, completion.LaneInteractive))
	})
}

func TestSweeper_StoreOutageKillsNobody(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.start()
		alive := b.store.add(1, completion.LaneInteractive, completion.Running)[0]
		b.store.add(1, completion.LaneBatch, completion.Running) // dead
		b.pass(5 * time.Second)
		b.store.beat(alive)
		b.store.setDown(true)
		b.pass(5 * time.Minute)
		b.store.setDown(false)
		b.store.add(1, completion.LaneInteractive, completion.Queued)
		for range 20 { // the worker is slow to come back
			b.pass(5 * time.Second)
			b.store.beat(alive)
		}
		require.Equal(t, 1, b.pending(t, completion.LaneInteractive), "only the queued one")
		require.Equal(t, 1, b.pending(t, completion.LaneBatch), "the dead one's in the end")
	})
}

// TestSweeper_StoreThatHangsKillsNobody: a store that was paused answers all calls late and well. What workers said
// meanwhile is as old as the pause is long.
func TestSweeper_StoreThatHangsKillsNobody(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.start()
		alive := b.store.add(1, completion.LaneInteractive, completion.Running)[0]
		for range 5 {
			b.pass(5 * time.Second)
			b.store.beat(alive)
		}
		b.store.setHang(workerTTL + 3*time.Second)
		b.pass(workerTTL + 5*time.Second)
		b.store.beat(alive)
		for range 5 {
			b.pass(5 * time.Second)
			b.store.beat(alive)
		}
		require.Zero(t, b.pending(t, completion.LaneInteractive))
	})
}

// TestSweeper_I1_DeadWorkersTaskIsTakenBack: the store knows sooner than the queue's leases that a worker is dead.
func TestSweeper_I1_DeadWorkersTaskIsTakenBack(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.start()
		jobs := b.store.add(2, completion.LaneInteractive, completion.Running)
		for _, j := range jobs {
			require.NoError(t, b.client.Enqueue(t.Context(), j.Task()))
			b.take(t, j)
		}
		b.pass(7 * time.Second)
		b.store.beat(jobs[0])
		require.NoError(t, b.rc.ZAdd(t.Context(), "asynq:{interactive}:lease", redis.Z{Member: taskID(jobs[0]), Score: float64(time.Now().Add(30 * time.Second).Unix())}).Err())
		b.pass(4 * time.Second)
		require.Equal(t, 1, b.pending(t, completion.LaneInteractive), "before the lease is old enough for Revive")
	})
}

// TestSweeper_Expire ends jobs that waited too long, closes their logs, and takes their tasks away.
func TestSweeper_Expire(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		late := b.store.add(1, completion.LaneBatch, completion.Queued)[0]
		b.store.jobs[0].Deadline = time.Now().Add(6 * time.Second)
		b.pass(time.Second)
		b.start()
		require.Equal(t, 1, b.pending(t, completion.LaneBatch))
		b.pass(4 * time.Second)
		_, sealed := b.store.snapshot()
		require.Empty(t, sealed)
		b.pass(4 * time.Second)
		_, sealed = b.store.snapshot()
		require.Equal(t, []string{late.ID}, sealed)
		require.Zero(t, b.pending(t, completion.LaneBatch))
	})
}

// TestSweeper_I9_DeadWorkersJobIsEnded: what shall not run again needs no worker to end.
func TestSweeper_I9_DeadWorkersJobIsEnded(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.store.add(3, completion.LaneInteractive, completion.Running)
		b.store.jobs[0].CancelRequested = true
		b.store.jobs[1].Deadline = time.Now()
		b.start()
		b.pass(workerTTL - time.Second)
		_, sealed := b.store.snapshot()
		require.Empty(t, sealed, "their worker may live")
		b.pass(5 * time.Second)
		jobs, sealed := b.store.snapshot()
		require.Equal(t, []string{jobs[0].ID, jobs[1].ID}, sealed)
		require.Equal(t, completion.Cancelled, jobs[0].State)
		require.Equal(t, completion.Expired, jobs[1].State)
		require.Contains(t, string(jobs[0].Result), "word", "what it had said is kept")
		require.Equal(t, 1, b.pending(t, completion.LaneInteractive), "the third goes on")
	})
}

// taskID is the job's id in the queue.
func taskID(j completion.Job) string { return j.Tenant + ":" + j.ID }

// take does what a server does with the only waiting task, and then dies.
func (b *bench) take(t *testing.T, j completion.Job) {
	t.Helper()
	ctx, k := t.Context(), "asynq:{"+string(j.Lane)+"}:"
	end := float64(time.Now().Add(30 * time.Second).Unix())
	_, err := b.rc.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.RPopLPush(ctx, k+"pending", k+"active")
		tx.HSet(ctx, k+"t:"+taskID(j), "state", "active")
		tx.ZAdd(ctx, k+"lease", redis.Z{Member: taskID(j), Score: end})
		return nil
	})
	require.NoError(t, err)
}

func TestSweeper_I1_TaskOfDeadServerIsRevived(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.start()
		j := completion.Job{ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive}
		require.NoError(t, b.client.Enqueue(t.Context(), j.Task()))
		b.take(t, j)
		b.pass(10 * time.Second)
		require.Zero(t, b.pending(t, j.Lane))
		b.pass(5 * time.Second)
		require.Equal(t, 1, b.pending(t, j.Lane))
	})
}

// broken is a queue with a switch for outages.
type broken struct {
	*queue.Client
	down atomic.Bool
}

func (q *broken) Fresh(ctx context.Context) (bool, error) {
	if q.down.Load() {
		return false, completion.NewError(completion.CodeUnavailable, "")
	}
	return q.Client.Fresh(ctx)
}

func TestSweeper_QueueOutageKillsNobody(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		q := &broken{Client: b.client}
		s := sweeper.New(b.store, q, b.store, sweeper.Config{}, slog.New(slog.NewTextHandler(t.Output(), nil)))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.Run(ctx) }()
		j := completion.Job{ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneBatch}
		require.NoError(t, b.client.Enqueue(ctx, j.Task()))
		b.take(t, j)
		b.pass(5 * time.Second)
		q.down.Store(true)
		b.pass(20 * time.Second)
		q.down.Store(false)
		b.pass(11 * time.Second)
		require.Zero(t, b.pending(t, j.Lane), "its server could not extend the lease, and has time to do it now")
		b.pass(8 * time.Second)
		require.Equal(t, 1, b.pending(t, j.Lane))
	})
}

func TestSweeper_BadRowKeepsNobodyOut(t *testing.T) {
	run(t, func(t *testing.T, b *bench) {
		b.store.add(10, "express", completion.Queued)
		b.store.add(600, completion.LaneBatch, completion.Queued)
		b.pass(time.Second)
		b.start()
		require.Equal(t, 600, b.pending(t, completion.LaneBatch))
	})
}
