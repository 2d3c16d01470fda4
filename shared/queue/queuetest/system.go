package queuetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// The oldest task is the one that has waited longest, whoever's it is, sorted by tenant or not, behind any that were
// handed back.
func oldestWaits(t *testing.T, b *bundle) {
	ctx := t.Context()
	oldest := func() time.Time {
		t.Helper()
		at, err := b.client.Oldest(ctx, completion.LaneInteractive)
		require.NoError(t, err)
		return at
	}
	require.True(t, oldest().IsZero(), "nothing waits")
	before := time.Now()
	a, c := of("a", 2), of("c", 2)
	b.enqueue(t, a[0])
	between := time.Now()
	b.enqueue(t, c...)
	b.enqueue(t, a[1])
	require.WithinRange(t, oldest(), before, between, "not sorted yet")
	require.NoError(t, b.client.Admit(ctx, c[0], 10)) // sorts
	require.WithinRange(t, oldest(), before, between)
	require.NoError(t, b.rc.HDel(ctx, "asynq:{interactive}:t:"+id(a[0]), "pending_since").Err())
	require.WithinRange(t, oldest(), between, time.Now(), "what was handed back does not say")
	for _, task := range append(a, c...) {
		require.NoError(t, b.client.Forget(ctx, task))
	}
	require.True(t, oldest().IsZero())
}

// Accepted jobs are counted by lane and by when.
func acceptedByTime(t *testing.T, b *bundle) {
	ctx, at := t.Context(), time.Now()
	note := func(lane completion.Lane, n int64, ago time.Duration) {
		t.Helper()
		require.NoError(t, b.client.NoteAccepted(ctx, lane, n, at.Add(-ago)))
	}
	accepted := func(lane completion.Lane) []int64 {
		t.Helper()
		counts, err := b.client.Accepted(ctx, lane, at, time.Minute, queue.AcceptedFor, time.Hour)
		require.NoError(t, err)
		return counts
	}
	require.Equal(t, []int64{0, 0, 0}, accepted(completion.LaneInteractive))
	note(completion.LaneInteractive, 1, 0)
	note(completion.LaneInteractive, 2, 50*time.Second)
	note(completion.LaneInteractive, 4, 50*time.Second)
	note(completion.LaneInteractive, 8, 2*time.Minute)
	note(completion.LaneInteractive, 16, 14*time.Minute)
	note(completion.LaneInteractive, 32, 16*time.Minute)
	note(completion.LaneBatch, 64, time.Second)
	require.Equal(t, []int64{7, 31, 31}, accepted(completion.LaneInteractive))
	require.Equal(t, []int64{64, 64, 64}, accepted(completion.LaneBatch))
	for _, key := range b.rc.Keys(ctx, "sluice:{*}:accepted:*").Val() {
		require.Positive(t, b.rc.TTL(ctx, key).Val(), key)
	}
}
