package system

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// An upstream that fails for some is neither well nor down, and those that have not asked do not count.
func TestUpstreams_State(t *testing.T) {
	t.Parallel()
	const ok, failing, idle = completion.UpstreamOK, completion.UpstreamFailing, completion.UpstreamIdle
	for _, c := range []struct {
		want string
		seen []completion.UpstreamState
	}{
		{"idle", []completion.UpstreamState{idle, idle}},
		{"ok", []completion.UpstreamState{ok, idle}},
		{"failing", []completion.UpstreamState{failing, idle, failing}},
		{"degraded", []completion.UpstreamState{ok, failing}},
		{"ok", []completion.UpstreamState{ok, "of a later version"}},
	} {
		var workers []completion.Worker
		for _, state := range c.seen {
			workers = append(workers, completion.Worker{Alive: true, Status: &completion.WorkerStatus{Upstreams: []completion.UpstreamStatus{{Name: "u", State: state}}}})
		}
		dead := completion.Worker{Status: &completion.WorkerStatus{Upstreams: []completion.UpstreamStatus{{Name: "u", State: failing}}}}
		list := upstreams(append(workers, dead))
		require.Len(t, list, 1)
		require.Equal(t, c.want, list[0].State, c.seen)
	}
}

// A task from the future is one of a machine whose clock is ahead.
func TestOverview_Oldest(t *testing.T) {
	t.Parallel()
	at := time.Now()
	for ago, want := range map[time.Duration]float64{90 * time.Second: 90, -time.Second: 0} {
		o := overview(at, nil, map[completion.Lane]waiting{completion.LaneBatch: {depth: queue.Depth{Pending: 1}, oldest: at.Add(-ago)}})
		require.InDelta(t, want, *o.Lanes[1].Queue.Oldest, 0.001)
		require.Nil(t, o.Lanes[0].Queue)
	}
}

// sheet is where counts are noted.
type sheet struct {
	total map[completion.Lane]int64
	calls int
	err   error
}

func (s *sheet) NoteAccepted(_ context.Context, lane completion.Lane, n int64, _ time.Time) error {
	s.calls++
	if s.err == nil {
		s.total[lane] += n
	}
	return s.err
}

// What is counted is noted once a second, and at the end; nothing is noted where nothing was counted.
func TestCounter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sheet{total: map[completion.Lane]int64{}}
		c := NewCounter(s, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(10 * time.Second) // the fake clock passes ten times of writing
		synctest.Wait()
		require.Zero(t, s.calls)
		for range 5 {
			c.Add(completion.LaneInteractive, 1)
		}
		c.Add(completion.LaneBatch, 7)
		time.Sleep(2 * time.Second) // the fake clock passes the next time of writing
		synctest.Wait()
		require.Equal(t, map[completion.Lane]int64{completion.LaneInteractive: 5, completion.LaneBatch: 7}, s.total)
		require.Equal(t, 2, s.calls)
		s.err = errors.New("away")
		c.Add(completion.LaneBatch, 7)
		time.Sleep(2 * time.Second) // the fake clock passes the next time of writing
		synctest.Wait()
		s.err = nil
		c.Add(completion.LaneInteractive, 1)
		stop()
		require.NoError(t, <-done)
		require.Equal(t, map[completion.Lane]int64{completion.LaneInteractive: 6, completion.LaneBatch: 7}, s.total)
	})
}
