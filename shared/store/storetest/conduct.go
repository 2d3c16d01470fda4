package storetest

import (
	"cmp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func batchIDs(list []completion.Batch) []string {
	all := []string{}
	for _, b := range list {
		all = append(all, b.ID)
	}
	return all
}

func conductTake(t *testing.T, s *store.Store) {
	at := now()
	var all []string
	for _, id := range []string{"batch_1", "batch_2", "batch_3"} {
		all = append(all, begin(t, s, func(b *completion.Batch) { b.ID = id }).ID)
	}
	list, err := s.TakeBatches(t.Context(), "one", time.Minute, 2, at)
	require.NoError(t, err)
	require.Equal(t, all[:2], batchIDs(list), "the oldest first")
	require.Equal(t, 1, list[0].Epoch)
	require.Equal(t, "one", list[0].Holder)
	require.Equal(t, at.Add(time.Minute), list[0].HeldUntil)
	rest, err := s.TakeBatches(t.Context(), "two", time.Minute, 9, at)
	require.NoError(t, err)
	require.Equal(t, all[2:], batchIDs(rest))

	held, err := s.HoldBatches(t.Context(), "one", 2*time.Minute, at)
	require.NoError(t, err)
	require.ElementsMatch(t, all[:2], batchIDs(held))
	slices.SortFunc(held, func(a, b completion.Batch) int { return cmp.Compare(a.ID, b.ID) })
	require.Equal(t, "acme", held[0].Tenant)
	require.Equal(t, completion.BatchValidating, held[0].State)
	require.Equal(t, 1, held[0].Epoch)
	require.Equal(t, list[0].Deadline, held[0].Deadline)
	again, err := s.TakeBatches(t.Context(), "three", time.Minute, 9, at.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, all[2:], batchIDs(again), "its holder has not said anything for a minute")
	require.Equal(t, 2, again[0].Epoch)
	held, err = s.HoldBatches(t.Context(), "two", time.Hour, at)
	require.NoError(t, err)
	require.Empty(t, held)

	require.NoError(t, s.LeaveBatches(t.Context(), "one"))
	left, err := s.TakeBatches(t.Context(), "two", time.Minute, 9, at)
	require.NoError(t, err)
	require.Equal(t, all[:2], batchIDs(left))
	require.NoError(t, s.MoveBatch(t.Context(), &left[0], completion.BatchFailed, at))
	late, err := s.TakeBatches(t.Context(), "two", time.Minute, 9, at.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, all[1:], batchIDs(late), "what has ended needs nobody")
}

// conductTakeAtOnce: any number take batches at once, and each goes to one.
func conductTakeAtOnce(t *testing.T, s *store.Store) {
	for range 20 {
		begin(t, s)
	}
	var mu sync.Mutex
	taken := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 4 {
				list, err := s.TakeBatches(t.Context(), "w", time.Minute, 3, now())
				if err != nil {
					t.Errorf("take: %v", err)
				}
				mu.Lock()
				for _, b := range list {
					taken[b.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	rest, err := s.TakeBatches(t.Context(), "w", time.Minute, 100, now())
	require.NoError(t, err)
	require.Len(t, taken, 20-len(rest))
	for _, n := range taken {
		require.Equal(t, 1, n)
	}
}

func conductShares(t *testing.T, s *store.Store) {
	at := now()
	b := running(t, s)
	other := running(t, s, func(b *completion.Batch) { b.Tenant = "other" })
	begin(t, s)
	running(t, s, func(b *completion.Batch) { b.Deadline = at })
	paused := running(t, s)
	_, err := s.PauseBatch(t.Context(), paused.Ref(), true, at)
	require.NoError(t, err)
	cancelled := running(t, s)
	_, err = s.CancelBatch(t.Context(), cancelled.Ref(), at)
	require.NoError(t, err)
	list, err := s.BatchShares(t.Context(), at)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{b.ID, other.ID}, batchIDs(list))
	i := slices.Index(batchIDs(list), other.ID)
	require.Equal(t, "other", list[i].Tenant)
	require.Equal(t, other.Deadline, list[i].Deadline)
}

// progress gives a batch all that its holder says of it.
func progress(b *completion.Batch) {
	b.Model, b.Output, b.Faults = "m'", "file-out", "file-err"
	b.Counts = completion.Counts{Total: 3, Completed: 1, Failed: 1}
	b.Usage = completion.BatchUsage{Input: 1 << 40, Cached: 2, Output: 3, Reasoning: 4}
	b.Errors = []completion.LineError{{Code: "c", Message: "m\x00", Param: "p", Line: 2}}
	b.Checkpoint.Told.Add(2)
	b.Checkpoint.Seq = 9
}

func conductSave(t *testing.T, s *store.Store) {
	b := running(t, s)
	at := now()
	_, err := s.PauseBatch(t.Context(), b.Ref(), true, at)
	require.NoError(t, err)
	progress(&b)
	b.Checkpoint.Fed, b.Checkpoint.Offset = 5, 50
	require.NoError(t, s.SaveBatch(t.Context(), &b))
	require.True(t, b.Paused, "what the API has written comes back")
	stored := batch(t, s, b)
	b.Checkpoint.Fed, b.Checkpoint.Offset = 0, 0 // are FeedBatch's to write
	require.Equal(t, b, stored)
	page, _, err := s.ListBatches(t.Context(), "acme", store.BatchQuery{})
	require.NoError(t, err)
	require.Nil(t, page[0].Errors)
	require.Nil(t, page[0].Checkpoint.Told)
	require.Equal(t, b.Counts, page[0].Counts)

	_, err = s.CancelBatch(t.Context(), b.Ref(), at)
	require.NoError(t, err)
	b.Counts.Completed++
	require.NoError(t, s.SaveBatch(t.Context(), &b))
	require.Equal(t, completion.BatchCancelling, b.State)
	require.Equal(t, at, b.CancellingAt)
	require.Equal(t, b, batch(t, s, b), "and is not written over")
}

// conductStale: who has been overtaken writes nothing.
func conductStale(t *testing.T, s *store.Store) {
	old := running(t, s)
	require.NoError(t, s.LeaveBatches(t.Context(), "me"))
	b := take(t, s, old)
	before := batch(t, s, b)
	progress(&old)
	require.ErrorIs(t, s.SaveBatch(t.Context(), &old), completion.ErrStale)
	require.ErrorIs(t, s.MoveBatch(t.Context(), &old, completion.BatchFinalizing, now()), completion.ErrStale)
	require.ErrorIs(t, s.FeedBatch(t.Context(), &old, lines(old, 1, 2)), completion.ErrStale)
	require.Equal(t, before, batch(t, s, b))
	nobody := newBatch()
	require.ErrorIs(t, s.SaveBatch(t.Context(), &nobody), completion.ErrNotFound)
	require.ErrorIs(t, s.MoveBatch(t.Context(), &nobody, completion.BatchInProgress, now()), completion.ErrNotFound)
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchExpired, now()))
	require.ErrorIs(t, s.SaveBatch(t.Context(), &b), completion.ErrFinal)
}

func conductMove(t *testing.T, s *store.Store) {
	b := take(t, s, begin(t, s))
	steps := []completion.BatchState{completion.BatchInProgress, completion.BatchFinalizing, completion.BatchCompleted}
	for i, to := range steps {
		at := now().Add(time.Duration(i) * time.Second)
		progress(&b)
		b.Counts.Completed = i
		for range 2 {
			require.NoError(t, s.MoveBatch(t.Context(), &b, to, at), "twice, for the answer may be lost")
		}
		require.Equal(t, to, b.State)
		require.Equal(t, b, batch(t, s, b))
		require.Equal(t, at, []time.Time{b.InProgressAt, b.FinalizingAt, b.EndedAt}[i])
	}
	require.Empty(t, b.Holder)
	require.Zero(t, b.HeldUntil)
	require.ErrorIs(t, s.MoveBatch(t.Context(), &b, completion.BatchCancelled, now()), completion.ErrFinal)

	b = running(t, s)
	require.Error(t, s.MoveBatch(t.Context(), &b, completion.BatchCompleted, now()), "not from here")
	require.Equal(t, completion.BatchInProgress, batch(t, s, b).State)
	_, err := s.CancelBatch(t.Context(), b.Ref(), now())
	require.NoError(t, err)
	require.ErrorIs(t, s.MoveBatch(t.Context(), &b, completion.BatchFinalizing, now()), completion.ErrCancelled)
	require.Equal(t, completion.BatchCancelling, b.State)
	require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchCancelled, now()))
}

// conductNotice: the end of a batch is told with its end, and its lines' ends are not.
func conductNotice(t *testing.T, s *store.Store) {
	quiet := running(t, s)
	require.NoError(t, s.MoveBatch(t.Context(), &quiet, completion.BatchExpired, now()))
	w := hook(t, s, "*")
	b := running(t, s)
	require.NoError(t, s.FeedBatch(t.Context(), &b, lines(b, 1, 3)))
	_, err := s.EndLines(t.Context(), b.Ref(), completion.Expired, now())
	require.NoError(t, err)
	at := now().Add(time.Minute)
	for range 2 {
		require.NoError(t, s.MoveBatch(t.Context(), &b, completion.BatchExpired, at))
	}
	n, err := s.FanOut(t.Context(), now(), 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	d := told(t, s, w)[0]
	require.Equal(t, "batch.expired", d.Type)
	require.Regexp(t, `^evt_[0-9a-f]{32}$`, d.Notice)
	require.Contains(t, string(d.Body), `"data":{"id":"`+b.ID+`"}`)
}
