package queue

import (
	"context"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// salvageCmd makes way for a job whose task lies in the queue in a state from which nothing delivers it: archived, or
// active without a lease, or without its message. The stored job is the truth, so the remains may go.
//
// KEYS[1] task hash, KEYS[2] active, KEYS[3] lease, KEYS[4] retry, KEYS[5] scheduled, KEYS[6] archived
// ARGV[1] task id
//
// Returns 1 if the task will be delivered or is running; 0 if the id is free now.
var salvageCmd = redis.NewScript(`
if redis.call("HEXISTS", KEYS[1], "msg") == 1 then
	local state = redis.call("HGET", KEYS[1], "state")
	if state == "pending" then
		return 1
	end
	if state == "active" and redis.call("ZSCORE", KEYS[3], ARGV[1]) then
		return 1
	end
	if state == "retry" and redis.call("ZSCORE", KEYS[4], ARGV[1]) then
		return 1
	end
	if state == "scheduled" and redis.call("ZSCORE", KEYS[5], ARGV[1]) then
		return 1
	end
end
redis.call("LREM", KEYS[2], 0, ARGV[1])
for i = 3, 6 do
	redis.call("ZREM", KEYS[i], ARGV[1])
end
redis.call("DEL", KEYS[1])
return 0`)

func (c *Client) salvage(ctx context.Context, t completion.Task) (known bool, err error) {
	k, id := keysOf(t.Lane), taskID(t.Ref)
	return salvageCmd.Run(ctx, c.rc, []string{k.task + id, k.active, k.lease, k.retry, k.scheduled, k.archived}, id).Bool()
}
