package queue

import (
	"context"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// forgetCmd deletes a task that nobody runs.
//
// KEYS[1] task hash, KEYS[2] pending, KEYS[3] retry, KEYS[4] scheduled, KEYS[5] ring, KEYS[6] the tenant's list,
// KEYS[7] the tenant's reservations
// ARGV[1] task id, ARGV[2] tenant, ARGV[3] job
//
// Returns 1 if it was deleted; 0 if there is none, or it is running or archived. A tenant whose list is empty leaves the
// ring, and a place that was reserved for the task is free.
var forgetCmd = redis.NewScript(`
local n = 0
local state = redis.call("HGET", KEYS[1], "state")
if state == "pending" then
	n = redis.call("LREM", KEYS[2], 1, ARGV[1])
	if n == 0 then
		n = redis.call("LREM", KEYS[6], 1, ARGV[1])
		if n == 1 and redis.call("EXISTS", KEYS[6]) == 0 then
			redis.call("LREM", KEYS[5], 1, ARGV[2])
		end
	end
elseif state == "retry" then
	n = redis.call("ZREM", KEYS[3], ARGV[1])
elseif state == "scheduled" then
	n = redis.call("ZREM", KEYS[4], ARGV[1])
end
if n > 0 then
	redis.call("DEL", KEYS[1])
	redis.call("ZREM", KEYS[7], ARGV[3])
end
return n`)

// Forget takes the task out of the queue, unless it is running: then, and when there is none, it does nothing. It spares
// a worker the trouble of finding out that a job has been cancelled, and is never needed for correctness.
//
// Redis searches the tenant's whole list for a waiting task: about a millisecond for each in a backlog of 50,000, during which it
// does nothing else. Do not call it for each job of a large batch; let the workers find out.
func (c *Client) Forget(ctx context.Context, t completion.Task) error {
	k, id := keysOf(t.Lane), taskID(t.Ref)
	keys := []string{k.task + id, k.pending, k.retry, k.scheduled, k.ring, k.wait + t.Ref.Tenant, k.admit + t.Ref.Tenant}
	if err := forgetCmd.Run(ctx, c.rc, keys, id, t.Ref.Tenant, t.Ref.Job).Err(); err != nil {
		return unavailable("forget job "+t.Ref.Job, err)
	}
	return nil
}
