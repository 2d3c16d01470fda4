package queue

import (
	"context"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// Depth is how many tasks of a lane are where.
type Depth struct {
	Pending   int64 `json:"pending"`   // wait for a worker, or for their tenant to run less
	Active    int64 `json:"active"`    // are running, or their server has died
	Retry     int64 `json:"retry"`     // were handed back and wait for their time
	Scheduled int64 `json:"scheduled"` // were enqueued for a later time
	Archived  int64 `json:"archived"`  // cannot be read; kept to be looked at, the oldest above 9,999 are dropped
}

// depthCmd counts a lane's tasks.
//
// KEYS[1] pending, KEYS[2] ring, KEYS[3] active, KEYS[4] retry, KEYS[5] scheduled, KEYS[6] archived
// ARGV[1] prefix of the tenants' lists
//
// Returns the five numbers of Depth, in its order.
var depthCmd = redis.NewScript(`
local waiting = redis.call("LLEN", KEYS[1])
for _, tenant in ipairs(redis.call("LRANGE", KEYS[2], 0, -1)) do
	waiting = waiting + redis.call("LLEN", ARGV[1] .. tenant)
end
local depth = {waiting, redis.call("LLEN", KEYS[3])}
for i = 4, 6 do
	depth[i - 1] = redis.call("ZCARD", KEYS[i])
end
return depth`)

// Depth counts the lane's tasks, of all tenants and at one moment.
func (c *Client) Depth(ctx context.Context, lane completion.Lane) (Depth, error) {
	k := keysOf(lane)
	n, err := depthCmd.Run(ctx, c.rc, []string{k.pending, k.ring, k.active, k.retry, k.scheduled, k.archived}, k.wait).Int64Slice()
	if err != nil {
		return Depth{}, unavailable("count the tasks of lane "+string(lane), err)
	}
	return Depth{n[0], n[1], n[2], n[3], n[4]}, nil
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
