package queue

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// oldestCmd looks for the task that has waited longest.
//
// KEYS[1] pending, KEYS[2] ring
// ARGV[1] prefix of the tenants' lists
// ARGV[2] prefix of the task hashes
//
// Returns the Unix time in nanoseconds since which it waits, as text because a number would be rounded; "" if nothing
// waits. Times of equal length compare as text.
//
// Tasks that were handed back are at the head of their tenant's list and do not say since when they wait, so a look at
// the head goes up to 100 tasks further.
var oldestCmd = redis.NewScript(`
local oldest = ""
local function look(ids)
	for _, id in ipairs(ids) do
		local since = redis.call("HGET", ARGV[2] .. id, "pending_since")
		if since then
			if oldest == "" or since < oldest then
				oldest = since
			end
			return
		end
	end
end
look(redis.call("LRANGE", KEYS[1], -1, -1))
for _, tenant in ipairs(redis.call("LRANGE", KEYS[2], 0, -1)) do
	look(redis.call("LRANGE", ARGV[1] .. tenant, 0, 99))
end
return oldest`)

// Oldest is since when the lane's task waits that has waited longest; zero if none does, or none that says so: one that was
// handed back does not.
func (c *Client) Oldest(ctx context.Context, lane completion.Lane) (time.Time, error) {
	k := keysOf(lane)
	text, err := oldestCmd.Run(ctx, c.rc, []string{k.pending, k.ring}, k.wait, k.task).Text()
	if err != nil {
		return time.Time{}, unavailable("look for the oldest task of lane "+string(lane), err)
	}
	if text == "" {
		return time.Time{}, nil
	}
	since, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, unavailable("look for the oldest task of lane "+string(lane), err)
	}
	return time.Unix(0, since), nil
}
