package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/store"
)

// noon is on the day of these tests, unless they say otherwise, whatever day it becomes meanwhile.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// counted is a job that counts against q.
func counted(q completion.Quota, change ...func(*completion.Job)) completion.Job {
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: "m",
		Request: []byte(`{}`), Quota: q, CreatedAt: noon, UpdatedAt: noon,
	}
	for _, c := range change {
		c(&job)
	}
	return job
}

// used is what is used of the accounts of q, in their order.
func used(t *testing.T, s *store.Store, q completion.Quota, at time.Time) []int {
	t.Helper()
	all, err := s.Used(t.Context(), "acme", q, at)
	require.NoError(t, err)
	list := []int{}
	for _, a := range q.Accounts(at) {
		require.Contains(t, all, a)
		list = append(list, all[a])
	}
	require.Len(t, all, len(list))
	return list
}

func stored(t *testing.T, s *store.Store) int {
	t.Helper()
	page, _, err := s.List(t.Context(), "acme", store.Query{Limit: 100})
	require.NoError(t, err)
	return len(page)
}

// addAtOnce adds all at the same time, and returns how many were made. The others were too many.
func addAtOnce(t *testing.T, s *store.Store, code completion.Code, jobs []completion.Job) (made int) {
	t.Helper()
	created, errs := make([]bool, len(jobs)), make([]error, len(jobs))
	var wg sync.WaitGroup
	for i := range jobs {
		wg.Go(func() { _, created[i], errs[i] = s.Add(t.Context(), &jobs[i]) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			require.False(t, created[i])
			requireCode(t, err, code)
		}
		if created[i] {
			made++
		}
	}
	return made
}

// Whichever limit it is, 64 at once get 10 through.
func quotaAtOnce(t *testing.T, s *store.Store) {
	for i, c := range []struct {
		quota completion.Quota
		code  completion.Code
		used  []int
	}{
		{completion.Quota{PerDay: 10}, completion.CodeDayQuota, []int{10}},
		{completion.Quota{Total: 10}, completion.CodeAllQuota, []int{10}},
		{completion.Quota{OwnerPerDay: 10, Owner: "ann"}, completion.CodeDayQuota, []int{10}},
		{completion.Quota{Total: 64, PerDay: 64, OwnerPerDay: 10, Owner: "ann"}, completion.CodeDayQuota, []int{20, 10, 10}},
	} {
		at := noon.AddDate(0, 0, i)
		jobs := make([]completion.Job, 64)
		for n := range jobs {
			jobs[n] = counted(c.quota, func(j *completion.Job) { j.CreatedAt = at })
		}
		require.Equal(t, 10, addAtOnce(t, s, c.code, jobs))
		require.Equal(t, c.used, used(t, s, c.quota, at), "what is refused for one account counts in none")
		require.Equal(t, 10*(i+1), stored(t, s))
	}
}

// A repeat counts nothing, however many come at once, and is answered when the quota is used up.
func quotaRepeats(t *testing.T, s *store.Store) {
	q := completion.Quota{PerDay: 10, Total: 1000}
	keyed := func(key string) completion.Job {
		return counted(q, func(j *completion.Job) { j.IdempotencyKey, j.BodyHash = key, "h" })
	}
	var jobs []completion.Job
	for i := range 64 {
		jobs = append(jobs, keyed(fmt.Sprint("key", i%8)))
	}
	require.Equal(t, 8, addAtOnce(t, s, "", jobs))
	require.Equal(t, []int{8, 8}, used(t, s, q, noon))
	for i := range jobs {
		jobs[i] = keyed(fmt.Sprint("key", 8+i%16))
	}
	require.Equal(t, 2, addAtOnce(t, s, completion.CodeDayQuota, jobs))
	require.Equal(t, []int{10, 10}, used(t, s, q, noon))

	again := keyed("key3")
	_, created, err := s.Add(t.Context(), &again)
	require.NoError(t, err)
	require.False(t, created)
	again.BodyHash = "other"
	_, _, err = s.Add(t.Context(), &again)
	require.ErrorIs(t, err, completion.ErrConflict)
	require.Equal(t, []int{10, 10}, used(t, s, q, noon))
}

func quotaRetryOf(t *testing.T, s *store.Store) {
	q := completion.Quota{Total: 2}
	retry := func(of string) (bool, error) {
		job := counted(q, func(j *completion.Job) { j.RetryOf = of })
		_, created, err := s.Add(t.Context(), &job)
		return created, err
	}
	for range 3 {
		_, err := retry("job_1")
		require.NoError(t, err)
	}
	require.Equal(t, []int{1}, used(t, s, q, noon))
	created, err := retry("job_2")
	require.NoError(t, err)
	require.True(t, created)
	_, err = retry("job_3")
	requireCode(t, err, completion.CodeAllQuota)
	require.Equal(t, 2, stored(t, s))
}

// A day is one of UTC, wherever the time comes from.
func quotaDays(t *testing.T, s *store.Store) {
	q := completion.Quota{PerDay: 2, Total: 5}
	zone := time.FixedZone("far east", 9*3600)
	late := time.Date(2026, 12, 31, 23, 59, 58, 500_000_000, time.UTC)
	submit := func(at time.Time) error {
		job := counted(q, func(j *completion.Job) { j.CreatedAt = at })
		_, _, err := s.Add(t.Context(), &job)
		return err
	}
	require.NoError(t, submit(late.Add(-24*time.Hour)))
	require.NoError(t, submit(late))
	require.NoError(t, submit(late.In(zone)))
	err := submit(late.In(zone))
	requireCode(t, err, completion.CodeDayQuota)
	e := completion.AsError(err)
	require.False(t, e.Retryable)
	require.Equal(t, 1500*time.Millisecond, time.Duration(e.RetryAfter))
	require.Equal(t, []int{3, 2}, used(t, s, q, late))

	next := late.Add(1500 * time.Millisecond)
	require.NoError(t, submit(next))
	require.NoError(t, submit(next.In(zone)))
	require.Equal(t, []int{5, 2}, used(t, s, q, next))
	err = submit(next.Add(24 * time.Hour))
	requireCode(t, err, completion.CodeAllQuota)
	require.Zero(t, completion.AsError(err).RetryAfter)
}

func quotaOwners(t *testing.T, s *store.Store) {
	submit := func(tenant, owner string) error {
		job := counted(completion.Quota{PerDay: 6, OwnerPerDay: 2, Owner: owner}, func(j *completion.Job) { j.Tenant = tenant })
		_, _, err := s.Add(t.Context(), &job)
		return err
	}
	for _, owner := range []string{"ann", "bob\x00", "ann", "", "", "bob\x00"} {
		require.NoError(t, submit("acme", owner), owner)
	}
	require.NoError(t, submit("other", "ann"), "I8")
	for owner, message := range map[string]string{"ann": "the tenant", "": "the tenant"} {
		err := submit("acme", owner)
		requireCode(t, err, completion.CodeDayQuota)
		require.ErrorContains(t, err, message)
	}
	q := completion.Quota{PerDay: 7, OwnerPerDay: 2, Owner: "bob\x00"}
	require.Equal(t, []int{6, 2}, used(t, s, q, noon))
	job := counted(q)
	_, _, err := s.Add(t.Context(), &job)
	requireCode(t, err, completion.CodeDayQuota)
	require.ErrorContains(t, err, "the owner")
}

// A limit that is lowered holds at once for what is used already; without one nothing is counted.
func quotaChange(t *testing.T, s *store.Store) {
	submit := func(q completion.Quota) error {
		job := counted(q)
		_, _, err := s.Add(t.Context(), &job)
		return err
	}
	require.NoError(t, submit(completion.Quota{Owner: "ann"}))
	require.NoError(t, submit(completion.Quota{OwnerPerDay: 1}))
	require.Equal(t, []int{0, 0}, used(t, s, completion.Quota{Total: 1, PerDay: 1}, noon))
	require.Empty(t, used(t, s, completion.Quota{}, noon))
	for range 3 {
		require.NoError(t, submit(completion.Quota{Total: 3}))
	}
	for _, lower := range []int{3, 2, 1} {
		requireCode(t, submit(completion.Quota{Total: lower}), completion.CodeAllQuota)
	}
	require.NoError(t, submit(completion.Quota{Total: 4}))
	require.Equal(t, []int{4}, used(t, s, completion.Quota{Total: 1}, noon))
}

// What was used long ago goes when a new day begins, but for the total.
func quotaForgets(t *testing.T, s *store.Store) {
	q := completion.Quota{Total: 100, PerDay: 10, OwnerPerDay: 10, Owner: "ann"}
	first := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{first, first.AddDate(0, 0, 40), first.AddDate(0, 0, 40)} {
		job := counted(q, func(j *completion.Job) { j.CreatedAt = at })
		_, _, err := s.Add(t.Context(), &job)
		require.NoError(t, err)
	}
	require.Equal(t, []int{3, 1, 1}, used(t, s, q, first))
	leased(t, s)
	before := first.AddDate(0, 0, 1)
	old, err := s.CountOld(t.Context(), store.KindQuotaDays, before, before)
	require.NoError(t, err)
	require.Equal(t, 2, old)
	for range 2 {
		n, err := s.DropQuotaDays(t.Context(), pruning, before, now(), 1)
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	require.Equal(t, []int{3, 0, 0}, used(t, s, q, first), "not all days together")
	require.Equal(t, []int{3, 2, 2}, used(t, s, q, first.AddDate(0, 0, 40)))
}

// The lines of a batch are let in together, or not at all.
func quotaBatch(t *testing.T, s *store.Store) {
	q := completion.Quota{Total: 100, PerDay: 10}
	enter := func(b *completion.Batch, lines int) error {
		b.Quota, b.Counts = q, completion.Counts{Total: lines}
		return s.MoveBatch(t.Context(), b, completion.BatchInProgress, noon)
	}
	first, second := take(t, s, begin(t, s)), take(t, s, begin(t, s))
	for _, lines := range []int{11, 101} {
		err := enter(&first, lines)
		require.Error(t, err)
		require.True(t, completion.AsError(err).Code.Quota())
		require.ErrorContains(t, err, fmt.Sprint(lines, " more completions"))
		require.Equal(t, completion.BatchValidating, first.State)
		require.Equal(t, completion.BatchValidating, batch(t, s, first).State)
	}
	require.Equal(t, []int{0, 0}, used(t, s, q, noon))
	require.NoError(t, enter(&first, 7))
	require.NoError(t, enter(&first, 7), "a repeat counts nothing")
	require.Equal(t, []int{7, 7}, used(t, s, q, noon))
	requireCode(t, enter(&second, 4), completion.CodeDayQuota)
	require.NoError(t, s.MoveBatch(t.Context(), &second, completion.BatchFailed, now()))
	require.Equal(t, []int{7, 7}, used(t, s, q, noon))

	batches := make([]completion.Batch, 8)
	for i := range batches {
		batches[i] = take(t, s, begin(t, s))
	}
	errs := make([]error, len(batches))
	var wg sync.WaitGroup
	for i := range batches {
		wg.Go(func() { errs[i] = enter(&batches[i], 2) })
	}
	wg.Wait()
	entered := 0
	for _, err := range errs {
		if err == nil {
			entered++
			continue
		}
		requireCode(t, err, completion.CodeDayQuota)
	}
	require.Equal(t, 1, entered)
	require.Equal(t, []int{9, 9}, used(t, s, q, noon))
}

// Turns count for the owner of their conversation, however many conversations it talks in at once. What is refused leaves no
// trace, and neither does a repeat.
func quotaTurns(t *testing.T, s *store.Store) {
	q := completion.Quota{PerDay: 100, OwnerPerDay: 10}
	owned := q
	owned.Owner = "ann"
	keyed := func(key string) func(*completion.Job) {
		return func(j *completion.Job) {
			j.Quota, j.Held, j.CreatedAt, j.IdempotencyKey, j.BodyHash = q, true, noon, key, "h"
		}
	}
	talks := make([]completion.Conversation, 8)
	for i := range talks {
		talks[i] = start(t, s, func(c *completion.Conversation) { c.Owner = "ann" })
	}
	say := func(c completion.Conversation, key string) error {
		_, err := s.Converse(t.Context(), c.Ref(), now(), func(ctx context.Context, k *store.Talk) error {
			_, err := turn(ctx, k, "hi", keyed(key))
			return err
		})
		return err
	}
	errs := make([]error, 64)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = say(talks[i%len(talks)], fmt.Sprint("key", i/2*2)) }) // each twice, in two conversations
	}
	wg.Wait()
	said, jobs := 0, 0
	for _, err := range errs {
		switch {
		case err == nil:
			said++
		case !errors.Is(err, errRepeated):
			requireCode(t, err, completion.CodeDayQuota)
		}
	}
	require.Equal(t, 10, said)
	require.Equal(t, []int{10, 10}, used(t, s, owned, noon))
	for _, c := range talks {
		after, err := s.Conversation(t.Context(), c.Ref())
		require.NoError(t, err)
		turns := len(live(t, s, c))
		require.Equal(t, 2*turns, after.Seq)
		require.EqualValues(t, turns, after.Version-c.Version)
		jobs += turns
	}
	require.Equal(t, 10, jobs)
	other := start(t, s, func(c *completion.Conversation) { c.Owner = "bob" })
	require.NoError(t, say(other, "another"))
	require.Equal(t, []int{11, 10}, used(t, s, owned, noon))
}
