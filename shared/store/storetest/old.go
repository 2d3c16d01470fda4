package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

var pruning = store.Lease{Name: "prune", Holder: "me", TTL: time.Minute}

// aged are the ids of what is old of a kind if it has ended by now, when it is that much later.
func aged(t *testing.T, s *store.Store, kind store.Kind, later time.Duration) []string {
	t.Helper()
	before, at := now().Add(time.Minute), now().Add(later)
	list, err := s.Old(t.Context(), kind, before, at, 1000)
	require.NoError(t, err)
	all := []string{}
	for _, o := range list {
		require.Equal(t, "acme", o.Tenant)
		all = append(all, o.Job)
	}
	n, err := s.CountOld(t.Context(), kind, before, at)
	require.NoError(t, err)
	require.Len(t, all, n)
	young, err := s.Old(t.Context(), kind, now().Add(-time.Hour), at, 1000)
	require.NoError(t, err)
	if kind != store.KindLines {
		require.Empty(t, young)
	}
	return all
}

// leased takes the lease.
func leased(t *testing.T, s *store.Store) {
	t.Helper()
	taken, err := s.TakeLease(t.Context(), pruning, now(), true)
	require.NoError(t, err)
	require.True(t, taken)
}

// drop drops all that is old of a kind, and returns its ids.
func drop(t *testing.T, s *store.Store, kind store.Kind, later time.Duration) []string {
	t.Helper()
	leased(t, s)
	ids := aged(t, s, kind, later)
	n, err := s.Drop(t.Context(), pruning, kind, ids, now())
	require.NoError(t, err)
	require.Len(t, ids, n)
	require.Empty(t, aged(t, s, kind, later))
	return ids
}

func lost(t *testing.T, s *store.Store, job completion.Job) {
	t.Helper()
	_, err := s.Get(t.Context(), job.Ref())
	require.ErrorIs(t, err, completion.ErrNotFound)
}

// leaseOne: of all that want to, one does the work, until it is done or is not heard of any more.
func leaseOne(t *testing.T, s *store.Store) {
	at, mine, other := now(), pruning, pruning
	other.Holder = "other"
	take := func(l store.Lease, at time.Time, early bool) bool {
		t.Helper()
		taken, err := s.TakeLease(t.Context(), l, at, early)
		require.NoError(t, err)
		return taken
	}
	taken := make([]bool, 8)
	atOnce(len(taken), func(i int) {
		l := mine
		l.Holder = fmt.Sprint("many", i)
		taken[i], _ = s.TakeLease(t.Context(), l, at, false)
	})
	require.Len(t, slices.DeleteFunc(taken, func(b bool) bool { return !b }), 1)
	at = at.Add(time.Minute)
	require.True(t, take(mine, at, false), "the others are dead")
	require.True(t, take(mine, at, false))
	require.False(t, take(other, at.Add(time.Second), true))
	work := upload(t, s)
	renewed := at.Add(30 * time.Second)
	_, err := s.Drop(t.Context(), mine, store.KindFiles, []string{work.ID}, renewed)
	require.NoError(t, err)
	require.False(t, take(other, at.Add(time.Minute), true), "it was heard of")
	require.True(t, take(other, renewed.Add(time.Minute), true))
	for _, do := range []func() error{
		func() error { _, err := s.Drop(t.Context(), mine, store.KindFiles, []string{work.ID}, at); return err },
		func() error { _, err := s.DropQuotaDays(t.Context(), mine, at, at, 1); return err },
		func() error { _, err := s.DropWorkers(t.Context(), mine, at, at); return err },
	} {
		require.ErrorIs(t, do(), completion.ErrStale)
	}
	at = renewed.Add(time.Minute)
	require.NoError(t, s.LeaveLease(t.Context(), mine, at.Add(time.Hour)), "it is not mine, and stays as it is")
	require.False(t, take(mine, at, true))
	require.NoError(t, s.LeaveLease(t.Context(), other, at.Add(time.Hour)))
	require.False(t, take(mine, at.Add(time.Hour-1), false), "it is not due")
	require.True(t, take(mine, at, true))
	require.NoError(t, s.LeaveLease(t.Context(), mine, at.Add(time.Hour)))
	require.True(t, take(other, at.Add(time.Hour), false))
}

// oldJobs: what has ended goes, the oldest first, and nothing else.
func oldJobs(t *testing.T, s *store.Store) {
	queued, run := add(t, s), claim(t, s, add(t, s), "w1")
	kept := complete(t, s, func(j *completion.Job) { j.Stored = true })
	keyed := complete(t, s, func(j *completion.Job) { j.IdempotencyKey, j.BodyHash, j.Stored = "k", "h", false })
	var done []completion.Job
	for i, state := range []completion.State{completion.Completed, completion.Failed, completion.Cancelled} {
		o := outcome(state)
		o.At = now().Add(-time.Duration(i) * time.Second)
		done = append(done, finish(t, s, add(t, s), o))
	}
	late := add(t, s, func(j *completion.Job) { j.Deadline = now() })
	_, err := s.Expire(t.Context(), now(), 10)
	require.NoError(t, err)
	want := []string{done[2].ID, done[1].ID, done[0].ID, late.ID}
	require.Equal(t, want, aged(t, s, store.KindJobs, 0))
	some, err := s.Old(t.Context(), store.KindJobs, now(), now(), 2)
	require.NoError(t, err)
	require.Equal(t, []store.Old{{Ref: done[2].Ref(), EndedAt: done[2].FinishedAt}, {Ref: done[1].Ref(), EndedAt: done[1].FinishedAt}}, some)
	require.Equal(t, want, drop(t, s, store.KindJobs, 0))
	for _, j := range append(done, late) {
		lost(t, s, j)
	}
	require.Equal(t, []string{keyed.ID}, drop(t, s, store.KindJobs, completion.IdempotencyAge+time.Second), "its promise is over")
	_, created, err := s.Add(t.Context(), &keyed)
	require.NoError(t, err)
	require.True(t, created, "the key is free again")
	require.Equal(t, []string{kept.ID}, drop(t, s, store.KindStored, 0))
	n, err := s.Drop(t.Context(), pruning, store.KindJobs, []string{queued.ID, run.ID}, now())
	require.NoError(t, err)
	require.Zero(t, n, "whoever asks")
	require.Equal(t, queued, get(t, s, queued))
	require.Equal(t, run, get(t, s, run))
	_, err = s.Drop(t.Context(), pruning, store.KindWorkers, []string{"x"}, now())
	require.Error(t, err)
	_, err = s.Old(t.Context(), "x", now(), now(), 1)
	require.Error(t, err)
}

// oldTurns: an answer's job stays until its message has the answer, which stays. A name's stays until it was taken.
func oldTurns(t *testing.T, s *store.Store) {
	c, job := answered(t, s)
	name := add(t, s)
	naming := start(t, s, func(c *completion.Conversation) { c.Naming = name.ID })
	job, name = finish(t, s, job, says("An answer")), finish(t, s, name, says("A name"))
	require.Empty(t, aged(t, s, store.KindJobs, 0))
	for _, m := range unsettled(t, s) {
		_, err := s.Settle(t.Context(), m, now())
		require.NoError(t, err)
	}
	converse(t, s, naming, func(_ context.Context, k *store.Talk) error { k.Naming = ""; return nil })
	require.Equal(t, []string{job.ID, name.ID}, drop(t, s, store.KindJobs, 0))
	lost(t, s, job)
	require.Equal(t, "helloAn answer", texts(path(t, s, c, read(t, s, c).Head)))
	require.Empty(t, unsettled(t, s))
	require.Empty(t, aged(t, s, store.KindMessages, 0))
	require.Empty(t, aged(t, s, store.KindConversations, 0))
}

// oldBatches: a batch is gone at once, and its lines are found by whoever comes after one that died in the middle.
func oldBatches(t *testing.T, s *store.Store) {
	open := fed(t, s, 2)
	end(t, s, open, 1, outcome(completion.Completed))
	keyed := running(t, s, func(b *completion.Batch) { b.IdempotencyKey, b.BodyHash = "k", "h" })
	b := fed(t, s, 5)
	for n := 1; n <= 5; n++ {
		end(t, s, b, n, outcome(completion.Completed))
	}
	for _, b := range []*completion.Batch{&b, &keyed} {
		require.NoError(t, s.MoveBatch(t.Context(), b, completion.BatchFinalizing, now()))
		require.NoError(t, s.MoveBatch(t.Context(), b, completion.BatchCompleted, now()))
	}
	require.Empty(t, aged(t, s, store.KindJobs, 0), "lines are none of these")
	due, err := s.CountOld(t.Context(), store.KindLines, now(), now())
	require.NoError(t, err)
	require.Equal(t, 5, due)
	require.Equal(t, []string{b.ID}, drop(t, s, store.KindBatches, 0))
	_, err = s.Batch(t.Context(), b.Ref())
	require.ErrorIs(t, err, completion.ErrNotFound)
	leased(t, s)
	for _, limit := range []int{2, 2, 1} {
		list, err := s.Old(t.Context(), store.KindLines, time.Time{}, now(), 2)
		require.NoError(t, err)
		require.Len(t, list, limit)
		n, err := s.Drop(t.Context(), pruning, store.KindLines, []string{list[0].Job, list[limit-1].Job}, now())
		require.NoError(t, err)
		require.Equal(t, limit, n)
	}
	require.Empty(t, aged(t, s, store.KindLines, 0))
	require.Equal(t, []string{keyed.ID}, drop(t, s, store.KindBatches, completion.IdempotencyAge+time.Second))
	n, err := s.Drop(t.Context(), pruning, store.KindBatches, []string{open.ID}, now())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, open.State, batch(t, s, open).State)
	counts, err := s.CountLines(t.Context(), open.Ref())
	require.NoError(t, err)
	require.Equal(t, map[completion.State]int{completion.Queued: 1, completion.Completed: 1}, counts)
}

// oldDeleted: what was deleted is erased with the jobs that have it too, once those have ended.
func oldDeleted(t *testing.T, s *store.Store) {
	c, first := answered(t, s)
	finish(t, s, first, says("one"))
	keyed := queue(t, s, c, func(j *completion.Job) { j.IdempotencyKey, j.BodyHash = "k", "h" })
	other := start(t, s)
	settle := func() {
		for _, m := range unsettled(t, s) {
			_, err := s.Settle(t.Context(), m, now())
			require.NoError(t, err)
		}
	}
	settle()
	question := message(t, s, c, keyed.ID).Parent
	converse(t, s, c, func(ctx context.Context, k *store.Talk) error {
		_, err := k.Drop(ctx, question)
		return err
	})
	require.Equal(t, []string{question}, drop(t, s, store.KindMessages, 0), "what a key has made can be asked for again")
	require.Equal(t, []string{keyed.ID}, drop(t, s, store.KindMessages, completion.IdempotencyAge+time.Second))
	lost(t, s, keyed)
	require.Equal(t, "helloone", texts(path(t, s, c, read(t, s, c).Head)), "the rest stays as it is")

	var live completion.Job
	converse(t, s, c, func(ctx context.Context, k *store.Talk) (err error) {
		live, err = turn(ctx, k, "two")
		return err
	})
	run := claim(t, s, live, "w1")
	converse(t, s, c, func(_ context.Context, k *store.Talk) error { k.DeletedAt = now(); return nil })
	require.Len(t, drop(t, s, store.KindMessages, 0), 3, "what runs stays")
	lost(t, s, first)
	require.Equal(t, run, get(t, s, run))
	require.Empty(t, aged(t, s, store.KindConversations, 0))
	_, err := s.Finish(t.Context(), run.Ref(), run.Attempt, says("three"))
	require.NoError(t, err)
	require.Empty(t, aged(t, s, store.KindMessages, 0), "nor what is about to be settled")
	settle()
	require.Equal(t, []string{live.ID}, drop(t, s, store.KindMessages, 0))
	lost(t, s, live)
	require.Equal(t, []string{c.ID}, drop(t, s, store.KindConversations, 0))
	require.Equal(t, other, read(t, s, other))
}

// oldRest: files, deliveries, days and workers.
func oldRest(t *testing.T, s *store.Store) {
	at := now()
	lasting, read := upload(t, s), upload(t, s)
	own := upload(t, s, func(f *completion.File) { f.ExpiresAt = at.Add(time.Hour) })
	require.NoError(t, s.AddFile(t.Context(), completion.File{ID: completion.NewFileID(), Tenant: "acme", CreatedAt: at}))
	require.Equal(t, []string{lasting.ID, read.ID}, aged(t, s, store.KindFiles, 0))
	begin(t, s, func(b *completion.Batch) { b.Input = read.ID })
	leased(t, s)
	n, err := s.Drop(t.Context(), pruning, store.KindFiles, []string{lasting.ID, read.ID}, at)
	require.NoError(t, err)
	require.Equal(t, 1, n, "a batch has come that reads the other")
	require.Empty(t, aged(t, s, store.KindFiles, 0))
	require.Equal(t, []string{lasting.ID}, doomed(t, s, at))
	_, err = s.File(t.Context(), "acme", own.ID, at)
	require.NoError(t, err)

	w := hook(t, s, "*")
	sent := deliver(t, s, w, 2)
	d, err := s.StartDelivery(t.Context(), "acme", sent[0], 0, at, at)
	require.NoError(t, err)
	d.State, d.EndedAt = completion.DeliveryDelivered, at
	require.NoError(t, s.EndDelivery(t.Context(), d))
	require.Equal(t, sent[:1], drop(t, s, store.KindDeliveries, 0))
	require.Len(t, told(t, s, w), 1)

	require.NoError(t, s.Beat(t.Context(), "dead", nil, at.Add(-time.Hour)))
	require.NoError(t, s.Beat(t.Context(), "live", nil, at))
	dead, err := s.CountOld(t.Context(), store.KindWorkers, at.Add(-time.Hour), at)
	require.NoError(t, err)
	require.Equal(t, 1, dead)
	n, err = s.DropWorkers(t.Context(), pruning, at.Add(-time.Hour), at)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
