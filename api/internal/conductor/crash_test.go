package conductor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/eventlog"
)

// leaseTime is short, so that nobody waits long for the batches of the dead.
const leaseTime = 200 * time.Millisecond

// kill runs conductors that each die after some calls, until the batch is at its end, or so many have died.
func (b *bed) kill(ref completion.Ref, most int, calls func() int) (deaths int) {
	b.t.Helper()
	for ; !b.batch(ref).State.Final() && deaths < most; deaths++ {
		ctx, die := context.WithCancel(b.t.Context())
		m := &mortal{Store: b.back.Store, die: die, after: rand.N(2) == 0}
		m.calls.Store(int64(calls()))
		err := <-b.conductUntil(ctx, func(s *setting) { s.Store, s.TTL = m, leaseTime })
		die()
		require.NoError(b.t, err)
		time.Sleep(leaseTime) // or the next one would find nothing to take, and wait longer
	}
	return deaths
}

func TestConductor_I1_Killed(t *testing.T) {
	t.Parallel()
	for _, dedup := range []bool{false, true} {
		t.Run(fmt.Sprint(dedup), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.sweep()
			w := b.work(16)
			ref := b.submit(lines(150), func(b *completion.Batch) { b.Deduplicate = dedup })
			deaths := b.kill(ref, 20, func() int { return 4 + rand.N(40) })
			t.Logf("%d deaths", deaths)
			b.conduct(func(s *setting) { s.TTL = leaseTime })
			b.exact(ref, 150)
			require.Equal(t, 150, w.once())
		})
	}
}

// TestConductor_I1_KilledAtEachStep dies at every call of a small batch's way.
func TestConductor_I1_KilledAtEachStep(t *testing.T) {
	t.Parallel()
	const beds = 4
	for first := range beds {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.sweep()
			b.work(8)
			for n := 2 + first; n < 24; n += beds {
				b.killAt(n)
			}
		})
	}
}

// killAt kills two conductors at their n-th call.
func (b *bed) killAt(n int) {
	t := b.t
	t.Helper()
	ref := b.submit(request(1, "one")+request(2, "bad")+request(3, "one")+request(4, "two"), func(b *completion.Batch) { b.Tenant, b.Deduplicate = fmt.Sprint("t", n), n%3 == 0 })
	b.kill(ref, 2, func() int { return n })
	stop := b.conduct(func(s *setting) { s.TTL = leaseTime })
	batch := b.await(ref, "ended", func(b completion.Batch) bool { return b.State.Final() })
	stop()
	require.Equal(t, completion.BatchCompleted, batch.State)
	require.Equal(t, completion.Counts{Total: 4, Completed: 3, Failed: 1}, batch.Counts, n)
	require.LessOrEqual(t, len(b.told(ref)), 4)
	require.Len(t, b.rows(ref.Tenant, batch.Output), 3)
	require.Len(t, b.rows(ref.Tenant, batch.Faults), 1)
	require.Equal(t, 2, b.outputs(ref.Tenant), "one output and one error file are visible")
}

func TestConductor_I1_KilledWhileItEnds(t *testing.T) {
	t.Parallel()
	for _, to := range []completion.BatchState{completion.BatchCancelled, completion.BatchExpired} {
		t.Run(string(to), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.sweep()
			b.work(4, slow(50*time.Millisecond))
			ref := b.submit(lines(800), func(b *completion.Batch) {
				if to == completion.BatchExpired {
					b.Deadline = time.Now().Add(6 * time.Second)
				}
			})
			stop := b.conduct(func(s *setting) { s.TTL = leaseTime })
			b.await(ref, "begun", func(b completion.Batch) bool { return b.Counts.Completed > 20 })
			if to == completion.BatchCancelled {
				_, err := b.back.Store.CancelBatch(t.Context(), ref, time.Now())
				require.NoError(t, err)
			}
			stop()
			b.kill(ref, 20, func() int { return 2 + rand.N(12) })
			b.conduct(func(s *setting) { s.TTL = leaseTime })
			batch := b.ended(ref, to)
			require.Equal(t, 800, batch.Counts.Total)
			require.Len(t, b.rows("acme", batch.Output), batch.Counts.Completed)
			require.Len(t, b.rows("acme", batch.Faults), batch.Counts.Failed)
			require.Equal(t, 2, b.outputs("acme"))
			require.Len(t, b.told(ref), batch.Checkpoint.Fed)
		})
	}
}

func TestConductor_Stopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sweep() // for what a stop leaves between feeding and enqueueing
	w := b.work(8)
	ref := b.submit(lines(250))
	for range 5 {
		stop := b.conduct(func(s *setting) { s.TTL = time.Hour })     // or the next one would wait for the lease
		time.Sleep(time.Duration(100+rand.N(200)) * time.Millisecond) // to be stopped somewhere in the middle
		stop()
	}
	b.conduct()
	b.exact(ref, 250)
	require.Equal(t, 250, w.once())
}

func TestConductor_Two(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.conduct()
	w := b.work(16)
	var refs []completion.Ref
	for i := range 6 {
		refs = append(refs, b.submit(lines(150), func(b *completion.Batch) { b.Tenant = fmt.Sprint("t", i) }))
	}
	for _, ref := range refs {
		b.exact(ref, 150)
	}
	require.Equal(t, 900, w.once())
}

func TestConductor_I1_QueueIsWiped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sweep()
	b.conduct()
	w := b.work(4, slow(10*time.Millisecond))
	client, err := b.back.Redis(1)
	require.NoError(t, err)
	defer client.Close()
	ref := b.submit(lines(800))
	for _, n := range []int{50, 400} {
		b.await(ref, "some have ended", func(b completion.Batch) bool { return b.Counts.Completed >= n })
		require.NoError(t, client.FlushAll(t.Context()).Err())
	}
	b.exact(ref, 800)
	require.Equal(t, 800, w.once())
}

func TestConductor_RingsAreLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.work(16, func(w *worker) { w.mute = true })
	b.exact(b.submit(lines(300)), 300)
}

// TestConductor_LogIsAway: lines are fed and counted while the log is away, also by another conductor, and told afterwards.
func TestConductor_LogIsAway(t *testing.T) {
	t.Parallel()
	for _, deed := range []bool{false, true} {
		t.Run(fmt.Sprint(deed), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.sweep()
			b.work(4, slow(10*time.Millisecond))
			ref := completion.Ref{}
			log := &flaky{Events: b.back.Log, ref: func(completion.Event) completion.Ref { return ref }}
			log.deed.Store(deed)
			away := func(s *setting) { s.Events = log }
			ref = b.submit(lines(1000))
			stop := b.conduct(away)
			b.await(ref, "begun", func(b completion.Batch) bool { return b.Counts.Completed > 20 })
			log.off.Store(true)
			b.await(ref, "it goes on", func(b completion.Batch) bool { return b.Counts.Completed > b.Checkpoint.Told.Len()+100 })
			stop()
			stop = b.conduct(away)
			b.await(ref, "the next goes on", func(b completion.Batch) bool { return b.Counts.Completed > b.Checkpoint.Told.Len()+150 && b.Epoch > 1 })
			log.off.Store(false)
			b.exact(ref, 1000)
			stop()
		})
	}
}

// TestConductor_LogIsLost: the streams vanish while a batch is told of.
func TestConductor_LogIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.conduct()
	b.work(4, slow(10*time.Millisecond))
	b.run(b.back.Log.ServeReplay) // creates the streams again
	ref := b.submit(lines(800))
	b.await(ref, "begun", func(b completion.Batch) bool { return b.Counts.Completed > 50 })
	last := b.lose(ref)
	batch := b.ended(ref, completion.BatchCompleted)
	require.Equal(t, completion.Counts{Total: 800, Completed: 800}, batch.Counts)
	records := b.records(ref)
	require.Equal(t, completion.EventStarted, records[0].Type)
	require.Greater(t, records[0].Seq, last)
	require.Less(t, len(b.told(ref)), 800, "what was told before is not told again")
}

// lose deletes all streams, and returns the seq up to which the log of the batch went.
func (b *bed) lose(ref completion.Ref) (last int64) {
	b.t.Helper()
	nc, err := b.nats.Connect()
	require.NoError(b.t, err)
	defer nc.Close()
	for _, r := range b.records(ref) {
		last = r.Seq
	}
	for k := range eventlog.Shards {
		_, err := nc.Request(fmt.Sprintf("$JS.API.STREAM.DELETE.C%d", k), nil, 10*time.Second)
		require.NoError(b.t, err)
	}
	return last
}

// TestConductor_Fair: batches of one tenant go on side by side, and a huge one or a bad one holds up nobody.
func TestConductor_Fair(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.submit(strings.Repeat("{}\n", 20_000))
	b.submit(lines(3000))
	var refs []completion.Ref
	for range 12 {
		refs = append(refs, b.submit(lines(100)))
	}
	b.conduct()
	b.work(16)
	var ended []int
	require.Eventually(t, func() bool {
		ended = nil
		sum := 0
		for _, ref := range refs {
			n := b.batch(ref).Counts.Ended()
			ended, sum = append(ended, n), sum+n
		}
		return sum >= 12*50
	}, 120*time.Second, 20*time.Millisecond)
	for _, n := range ended {
		require.Greater(t, n, 5, "%v", ended)
	}
}
