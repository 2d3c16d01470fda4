package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

func testDelivery(t *testing.T, w completion.Webhook) completion.Delivery {
	t.Helper()
	n := completion.NewNotice(w.Tenant, completion.NoticeTest, []byte(`{"id":"x"}`), now())
	d, err := completion.NewDelivery(&n, w.ID, now())
	require.NoError(t, err)
	return d
}

// deliver adds that many deliveries, which are due, and returns their ids, the oldest first.
func deliver(t *testing.T, s *store.Store, w completion.Webhook, n int) (ids []string) {
	t.Helper()
	list := make([]completion.Delivery, n)
	for i := range list {
		list[i] = testDelivery(t, w)
		ids = append(ids, list[i].ID)
	}
	slices.Sort(ids) // those of one millisecond come in any order
	for i := range list {
		list[i].ID = ids[i]
		require.NoError(t, s.AddDelivery(t.Context(), list[i]))
	}
	return ids
}

var plenty = store.Share{Webhook: 100, Tenant: 100, All: 100}

func handOut(t *testing.T, s *store.Store, at, until time.Time, share store.Share) (ids []string) {
	t.Helper()
	list, err := s.HandOut(t.Context(), at, until, share)
	require.NoError(t, err)
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	return ids
}

func deliveryRoundTrip(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	d := testDelivery(t, w)
	require.NoError(t, s.AddDelivery(t.Context(), d))
	require.Equal(t, []completion.Delivery{d}, told(t, s, w))
	at := now()
	started, err := s.StartDelivery(t.Context(), "acme", d.ID, 0, at, at.Add(time.Minute))
	require.NoError(t, err)
	d.Attempts, d.Tries, d.LastAt = 1, 1, at
	require.Equal(t, d, started)
	d.NextAt, d.LastStatus, d.LastError = at.Add(time.Second), 500, "broken"
	require.NoError(t, s.EndDelivery(t.Context(), d))
	require.Equal(t, []completion.Delivery{d}, told(t, s, w))
	started, err = s.StartDelivery(t.Context(), "acme", d.ID, 1, at, at.Add(time.Minute))
	require.NoError(t, err)
	started.State, started.NextAt, started.EndedAt, started.LastStatus, started.LastError = completion.DeliveryDelivered, time.Time{}, at, 200, ""
	require.NoError(t, s.EndDelivery(t.Context(), started))
	require.Equal(t, []completion.Delivery{started}, told(t, s, w))
	require.Equal(t, 2, started.Attempts)
}

// deliveryGuard: of many that begin an attempt one does, and one that was overtaken stores nothing.
func deliveryGuard(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	id := deliver(t, s, w, 1)[0]
	var mu sync.Mutex
	var won []completion.Delivery
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			d, err := s.StartDelivery(t.Context(), "acme", id, 0, now(), now())
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, d)
			} else if !isStale(err) {
				t.Errorf("start: %v", err)
			}
		})
	}
	wg.Wait()
	require.Len(t, won, 1)
	second, err := s.StartDelivery(t.Context(), "acme", id, 1, now(), now())
	require.NoError(t, err)
	won[0].State, won[0].EndedAt = completion.DeliveryFailed, now()
	require.NoError(t, s.EndDelivery(t.Context(), won[0]))
	require.Equal(t, completion.DeliveryPending, told(t, s, w)[0].State, "overtaken")
	second.State, second.EndedAt = completion.DeliveryDelivered, now()
	require.NoError(t, s.EndDelivery(t.Context(), second))
	_, err = s.StartDelivery(t.Context(), "acme", id, 2, now(), now())
	require.ErrorIs(t, err, completion.ErrStale, "it has ended")
}

func deliveryHold(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	ids := deliver(t, s, w, 2)
	at := now()
	require.Empty(t, handOut(t, s, at.Add(-time.Minute), at, plenty), "not due yet")
	require.ElementsMatch(t, ids, handOut(t, s, at, at.Add(time.Minute), plenty))
	require.Empty(t, handOut(t, s, at.Add(59*time.Second), at.Add(2*time.Minute), plenty), "held")
	require.ElementsMatch(t, ids, handOut(t, s, at.Add(time.Minute), at.Add(2*time.Minute), plenty), "nobody ended the hold")

	d, err := s.StartDelivery(t.Context(), "acme", ids[0], 0, at, at.Add(10*time.Minute))
	require.NoError(t, err)
	require.Equal(t, ids[1:], handOut(t, s, at.Add(3*time.Minute), at.Add(4*time.Minute), plenty), "the other is being sent")
	d.NextAt = at.Add(time.Hour)
	require.NoError(t, s.EndDelivery(t.Context(), d))
	require.Equal(t, ids[1:], handOut(t, s, at.Add(59*time.Minute), at.Add(60*time.Minute), plenty))
	require.ElementsMatch(t, ids, handOut(t, s, at.Add(time.Hour), at.Add(2*time.Hour), plenty), "due again")

	_, err = s.ChangeWebhook(t.Context(), "acme", w.ID, now(), func(w *completion.Webhook) error { w.Enabled = false; return nil })
	require.NoError(t, err)
	require.Empty(t, handOut(t, s, at.Add(3*time.Hour), at.Add(4*time.Hour), plenty), "disabled")
}

// deliveryFair: one webhook or tenant with many leaves the others their turn (I8).
func deliveryFair(t *testing.T, s *store.Store) {
	busy, beside, other := hook(t, s, "*"), hook(t, s, "*"), hookOf(t, s, "other", "*")
	many := deliver(t, s, busy, 20)
	few, theirs := deliver(t, s, beside, 1), deliver(t, s, other, 2)
	at, share := now(), store.Share{Webhook: 3, Tenant: 3, All: 100}
	first := handOut(t, s, at, at.Add(time.Hour), share)
	require.Subset(t, first, few)
	require.Subset(t, first, theirs)
	require.Subset(t, first, many[:2])
	require.Len(t, first, 5)
	require.Empty(t, handOut(t, s, at, at.Add(time.Hour), share), "its share is taken")
	d, err := s.StartDelivery(t.Context(), "acme", few[0], 0, at, at.Add(time.Hour))
	require.NoError(t, err)
	d.State, d.EndedAt, d.NextAt = completion.DeliveryDelivered, at, time.Time{}
	require.NoError(t, s.EndDelivery(t.Context(), d))
	require.Equal(t, many[2:3], handOut(t, s, at, at.Add(time.Hour), share), "one more, as one has ended")
	require.Len(t, handOut(t, s, at.Add(time.Hour), at.Add(2*time.Hour), store.Share{Webhook: 9, Tenant: 9, All: 4}), 4)
}

// deliveryManyAtOnce: any number hand out and fan out at once, and each thing is done once.
func deliveryManyAtOnce(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	for range 30 {
		cancelled(t, s, add(t, s))
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	taken, seen := 0, map[string]int{}
	for range 6 {
		wg.Go(func() {
			for range 20 {
				n, err := s.FanOut(t.Context(), now(), 7)
				if err != nil {
					t.Errorf("fan out: %v", err)
				}
				list, err := s.HandOut(t.Context(), now(), now().Add(time.Hour), store.Share{Webhook: 100, Tenant: 100, All: 3})
				if err != nil {
					t.Errorf("hand out: %v", err)
				}
				mu.Lock()
				taken += n
				for _, d := range list {
					seen[d.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 30, taken)
	all := told(t, s, w)
	require.Len(t, all, 30)
	for _, id := range handOut(t, s, now(), now().Add(time.Hour), plenty) {
		seen[id]++
	}
	for _, d := range all {
		require.Equal(t, 1, seen[d.ID])
	}
}

func deliveryResend(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	id := deliver(t, s, w, 1)[0]
	d, err := s.StartDelivery(t.Context(), "acme", id, 0, now(), now().Add(time.Hour))
	require.NoError(t, err)
	d.State, d.EndedAt, d.NextAt = completion.DeliveryFailed, now(), time.Time{}
	require.NoError(t, s.EndDelivery(t.Context(), d))
	at := now().Add(100 * time.Hour)
	again, err := s.Resend(t.Context(), "acme", w.ID, id, at)
	require.NoError(t, err)
	want := d
	want.State, want.Tries, want.NextAt, want.ExpiresAt, want.EndedAt = completion.DeliveryPending, 0, at, at.Add(completion.GiveUpAfter), time.Time{}
	require.Equal(t, want, again)
	require.Equal(t, []string{id}, handOut(t, s, at, at.Add(time.Minute), plenty))
	_, err = s.Resend(t.Context(), "acme", w.ID, "dlv_0", at)
	require.ErrorIs(t, err, completion.ErrNotFound)
}

func deliveryPages(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	ids := deliver(t, s, w, 5)
	deliver(t, s, hook(t, s, "*"), 2)
	var seen []string
	q := store.DeliveryQuery{Limit: 2}
	for {
		page, next, err := s.Deliveries(t.Context(), "acme", w.ID, q)
		require.NoError(t, err)
		for _, d := range page {
			seen = append([]string{d.ID}, seen...)
		}
		if q.After = next; next == "" {
			break
		}
	}
	require.Equal(t, ids, seen)
	d, err := s.StartDelivery(t.Context(), "acme", ids[3], 0, now(), now())
	require.NoError(t, err)
	d.State, d.EndedAt = completion.DeliveryFailed, now()
	require.NoError(t, s.EndDelivery(t.Context(), d))
	page, _, err := s.Deliveries(t.Context(), "acme", w.ID, store.DeliveryQuery{State: completion.DeliveryFailed})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, ids[3], page[0].ID)
}

func deliveryGiveUp(t *testing.T, s *store.Store) {
	w := hook(t, s, "*")
	ids := deliver(t, s, w, 2)
	at := now()
	d, err := s.StartDelivery(t.Context(), "acme", ids[0], 0, at, at)
	require.NoError(t, err)
	d.State, d.EndedAt = completion.DeliveryDelivered, at
	require.NoError(t, s.EndDelivery(t.Context(), d))
	late := at.Add(completion.GiveUpAfter)
	require.NoError(t, s.GiveUpDeliveries(t.Context(), late))
	all := told(t, s, w)
	require.Equal(t, completion.DeliveryDelivered, all[0].State)
	require.Equal(t, completion.DeliveryFailed, all[1].State, "it was not taken in time")
	require.Equal(t, late, all[1].EndedAt)
}
