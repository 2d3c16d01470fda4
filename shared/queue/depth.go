package queue

import (
	"context"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// Depth is how many tasks of a lane are where.
type Depth struct {
	Pending   int64 `json:"pending"`   // wait for a worker
	Active    int64 `json:"active"`    // are running, or their server has died
	Retry     int64 `json:"retry"`     // were handed back and wait for their time
	Scheduled int64 `json:"scheduled"` // were enqueued for a later time
	Archived  int64 `json:"archived"`  // cannot be read; kept to be looked at, the oldest above 9,999 are dropped
}

// Depth counts the lane's tasks, in one round trip.
func (c *Client) Depth(ctx context.Context, lane completion.Lane) (Depth, error) {
	k := keysOf(lane)
	pipe := c.rc.Pipeline()
	pending, active := pipe.LLen(ctx, k.pending), pipe.LLen(ctx, k.active)
	retry, scheduled, archived := pipe.ZCard(ctx, k.retry), pipe.ZCard(ctx, k.scheduled), pipe.ZCard(ctx, k.archived)
	if _, err := pipe.Exec(ctx); err != nil {
		return Depth{}, unavailable("count the tasks of lane "+string(lane), err)
	}
	return Depth{pending.Val(), active.Val(), retry.Val(), scheduled.Val(), archived.Val()}, nil
}

// Fresh reports whether Redis has lost data since the Client's last call, or, at the first one, whether it is empty.
// Each call raises a counter in each lane's keys: a counter that starts anew, or comes back to a number seen before, was
// lost or restored from an older copy. A loss of the last moments only, between two calls, can go unseen.
func (c *Client) Fresh(ctx context.Context) (bool, error) {
	pipe := c.rc.Pipeline()
	tides := make(map[completion.Lane]*redis.IntCmd, len(completion.Lanes))
	for _, lane := range completion.Lanes {
		tides[lane] = pipe.Incr(ctx, keysOf(lane).tide)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return false, unavailable("look for lost data in the queue", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := false
	for lane, cmd := range tides {
		fresh = fresh || cmd.Val() == 1 || cmd.Val() <= c.tide[lane]
		c.tide[lane] = cmd.Val()
	}
	return fresh, nil
}
