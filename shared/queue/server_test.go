package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// A long grace is kept: what runs is waited for beyond it.
func TestConfig_DrainLimit(t *testing.T) {
	t.Parallel()
	for grace, want := range map[time.Duration]time.Duration{
		0: 30 * time.Second, time.Second: 30 * time.Second, 20 * time.Second: 30 * time.Second, 5 * time.Minute: 5*time.Minute + 10*time.Second,
	} {
		c := queue.Config{Lane: completion.LaneBatch, Slots: 1, Handler: func(context.Context, completion.Task) error { return nil }, Grace: grace}
		require.NoError(t, c.Complete())
		require.Equal(t, want, c.DrainLimit, "grace %s", grace)
	}
	c := queue.Config{Lane: completion.LaneBatch, Slots: 1, Handler: func(context.Context, completion.Task) error { return nil }, DrainLimit: time.Second}
	require.NoError(t, c.Complete())
	require.Equal(t, time.Second, c.DrainLimit, "what is said")
}
