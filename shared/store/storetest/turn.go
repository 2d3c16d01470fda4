package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func release(t *testing.T, s *store.Store, c completion.Conversation, id string) (job completion.Job, err error) {
	t.Helper()
	_, err = s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) (err error) {
		job, err = k.Release(ctx, id, json.RawMessage(`{ "rendered":1 }`), "m2")
		return err
	})
	return job, err
}

func waiting(t *testing.T, s *store.Store) []completion.Ref {
	t.Helper()
	refs, err := s.Waiting(t.Context(), 100)
	require.NoError(t, err)
	return refs
}

// queue adds another turn that waits.
func queue(t *testing.T, s *store.Store, c completion.Conversation, change ...func(*completion.Job)) completion.Job {
	t.Helper()
	var job completion.Job
	converse(t, s, c, func(ctx context.Context, k *store.Talk) (err error) {
		job, err = turn(ctx, k, "more", append(change, held)...)
		return err
	})
	return job
}

// turnHeld: what waits for the turn before it is nobody's to run.
func turnHeld(t *testing.T, s *store.Store) {
	c, first := answered(t, s)
	job := queue(t, s, c)
	require.True(t, get(t, s, job).Held)
	require.Equal(t, []string{first.ID, job.ID}, ids(live(t, s, c)))
	require.Empty(t, waiting(t, s), "another is under way")
	require.NoError(t, s.Beat(t.Context(), "w1", nil, now()))
	_, err := s.Claim(t.Context(), job.Ref(), "w1", now())
	require.ErrorIs(t, err, completion.ErrHeld)
	group := s.Group()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = group.Claim(t.Context(), job.Ref(), "w1", now()) })
	}
	wg.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, completion.ErrHeld)
	}
	late := now().Add(time.Hour)
	lost, err := s.Orphans(t.Context(), late, late, "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{first.ID}, ids(lost))

	_, err = release(t, s, c, job.ID)
	requireTurn(t, err)
	finish(t, s, first, says("a"))
	require.Equal(t, []completion.Ref{c.Ref()}, waiting(t, s))
	version := read(t, s, c).Version
	released, err := release(t, s, c, job.ID)
	require.NoError(t, err)
	require.False(t, released.Held)
	require.Equal(t, `{ "rendered":1 }`, string(released.Request))
	require.Equal(t, "m2", released.Model)
	require.Equal(t, released, get(t, s, job))
	require.Equal(t, version+1, read(t, s, c).Version)
	require.Empty(t, waiting(t, s))
	_, err = release(t, s, c, job.ID)
	require.ErrorIs(t, err, completion.ErrFinal, "it is held no more")
	require.Equal(t, "m2", message(t, s, c, job.ID).Model)
	lost, err = s.Orphans(t.Context(), late, late, "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{job.ID}, ids(lost))
	claim(t, s, job, "w1")
	for _, id := range []string{"job_0", add(t, s).ID, "x'\x00"} {
		_, err = release(t, s, c, id)
		require.ErrorIs(t, err, completion.ErrNotFound, id)
	}
}

func requireTurn(t *testing.T, err error) {
	t.Helper()
	var e *completion.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, completion.CodeTurn, e.Code)
}

// turnEnded: a turn that has ended while it waited is not begun.
func turnEnded(t *testing.T, s *store.Store) {
	c, first := answered(t, s)
	deadline := now().Add(time.Minute)
	overdue := queue(t, s, c, until(deadline))
	stopped := queue(t, s, c)
	left := queue(t, s, c)
	ended, err := s.Expire(t.Context(), deadline, 10)
	require.NoError(t, err)
	require.Equal(t, []string{overdue.ID}, ids(ended))
	got, running, err := s.Cancel(t.Context(), stopped.Ref(), now())
	require.NoError(t, err)
	require.False(t, running)
	require.Equal(t, completion.Cancelled, got.State)
	finish(t, s, first, says("a"))
	for _, job := range []completion.Job{overdue, stopped, first} {
		_, err = release(t, s, c, job.ID)
		require.ErrorIs(t, err, completion.ErrFinal)
	}
	require.Equal(t, completion.Expired, message(t, s, c, overdue.ID).State)
	require.Equal(t, completion.CodeExpired, message(t, s, c, overdue.ID).Error.Code)
	require.Equal(t, completion.CodeCancelled, message(t, s, c, stopped.ID).Error.Code)
	require.Equal(t, []string{left.ID}, ids(live(t, s, c)))
	require.Len(t, unsettled(t, s), 3)
}

// turnCancel does what Store.Cancel does, in the transaction.
func turnCancel(t *testing.T, s *store.Store) {
	c, running := answered(t, s)
	claim(t, s, running, "w1")
	waits := queue(t, s, c)
	stranger, strange := answered(t, s)
	at := now()
	var added completion.Job
	_, err := s.Converse(t.Context(), c.Ref(), at, func(ctx context.Context, k *store.Talk) (err error) {
		require.NoError(t, k.Cancel(ctx, running.ID, waits.ID, strange.ID, "job_0", "x'\x00"))
		jobs, err := k.Live(ctx)
		require.Equal(t, []string{running.ID}, ids(jobs))
		require.NoError(t, err)
		added, err = turn(ctx, k, "instead", held)
		return err
	})
	require.NoError(t, err)
	got := get(t, s, running)
	require.Equal(t, completion.Running, got.State)
	require.True(t, got.CancelRequested)
	requests, err := s.CancelRequests(t.Context(), "w1")
	require.NoError(t, err)
	require.Equal(t, []completion.Ref{running.Ref()}, requests)
	got = get(t, s, waits)
	require.Equal(t, completion.Cancelled, got.State)
	require.Equal(t, completion.CodeCancelled, got.Error.Code)
	require.Equal(t, at, got.FinishedAt)
	require.Equal(t, []string{strange.ID}, ids(live(t, s, stranger)), "another conversation's")
	require.Equal(t, []string{running.ID, added.ID}, ids(live(t, s, c)))

	before := read(t, s, c)
	converse(t, s, c, func(ctx context.Context, k *store.Talk) error { return k.Cancel(ctx, waits.ID) })
	require.Equal(t, before, read(t, s, c), "it had ended")
	require.Equal(t, got, get(t, s, waits))
}

// turnOne: the database itself allows one turn under way.
func turnOne(t *testing.T, s *store.Store) {
	c, first := answered(t, s)
	want := read(t, s, c)
	_, err := s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) error {
		_, err := turn(ctx, k, "more")
		return err
	})
	requireTurn(t, err)
	require.Equal(t, want, read(t, s, c))
	claim(t, s, first, "w1")
	second := first
	second.ID = completion.NewJobID()
	_, _, err = s.Add(t.Context(), &second)
	requireTurn(t, err)
}

// turnsInOrder: any number of processes release and end turns; each begins once, in order, when none is under way.
func turnsInOrder(t *testing.T, s *store.Store) {
	const all = 12
	c := start(t, s)
	for range all {
		queue(t, s, c)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var mu sync.Mutex
	var begun []string
	begin := func() error {
		var job completion.Job
		_, err := s.Converse(ctx, c.Ref(), now(), func(ctx context.Context, k *store.Talk) error {
			turns, err := k.Live(ctx)
			if err != nil || len(turns) == 0 || !turns[0].Held {
				return err
			}
			if job, err = k.Release(ctx, turns[0].ID, json.RawMessage(`{}`), "m"); err == nil {
				mu.Lock()
				begun = append(begun, job.ID)
				mu.Unlock()
			}
			return err
		})
		return err
	}
	require.NoError(t, s.Beat(t.Context(), "w1", nil, now()))
	end := func() error {
		turns, err := s.Live(ctx, c.Ref())
		if err != nil || len(turns) == 0 || turns[0].Held {
			return err
		}
		job, err := s.Claim(ctx, turns[0].Ref(), "w1", now())
		if err == nil {
			_, err = s.Finish(ctx, job.Ref(), job.Attempt, outcome(completion.Completed))
		}
		if errors.Is(err, completion.ErrFinal) || errors.Is(err, completion.ErrStale) { // another was faster
			err = nil
		}
		return err
	}
	var wg sync.WaitGroup
	for range 4 {
		for _, act := range []func() error{begin, end} {
			wg.Go(func() {
				for turns, err := s.Live(ctx, c.Ref()); len(turns) > 0; turns, err = s.Live(ctx, c.Ref()) {
					if err = errors.Join(err, act()); err != nil {
						t.Errorf("act: %v", err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	want := []string{}
	for i, m := range path(t, s, c, read(t, s, c).Head) {
		if i%2 == 1 {
			want = append(want, m.ID)
			require.Equal(t, completion.Completed, m.State)
		}
	}
	require.Equal(t, want, begun)
	require.Len(t, want, all)
}

// turnExpireAgainstCancel: a turn that is overdue and cancelled ends in one of the two ways, and neither stands in the
// other's way.
func turnExpireAgainstCancel(t *testing.T, s *store.Store) {
	c := start(t, s)
	for range 10 {
		var turns []string
		for i := range 6 {
			turns = append(turns, queue(t, s, c, until(now().Add(-time.Duration(i)*time.Second))).ID)
		}
		var cancelErr, expireErr error
		var wg sync.WaitGroup
		wg.Go(func() {
			_, cancelErr = s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) error { return k.Cancel(ctx, turns...) })
		})
		wg.Go(func() { _, expireErr = s.Expire(t.Context(), now(), 100) })
		wg.Wait()
		require.NoError(t, errors.Join(cancelErr, expireErr))
		require.Empty(t, live(t, s, c))
		for _, id := range turns {
			require.Contains(t, []completion.State{completion.Cancelled, completion.Expired}, message(t, s, c, id).State)
		}
	}
}
