package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// plainCmd is asynq's own dequeue script, to compare with.
var plainCmd = redis.NewScript(`
if redis.call("EXISTS", KEYS[2]) == 0 then
	local id = redis.call("RPOPLPUSH", KEYS[1], KEYS[3])
	if id then
		local key = ARGV[2] .. id
		redis.call("HSET", key, "state", "active")
		redis.call("HDEL", key, "pending_since")
		redis.call("ZADD", KEYS[4], ARGV[1], id)
		return redis.call("HGET", key, "msg")
	end
end
return nil`)

// TakePlain takes a task as asynq does.
func TakePlain(ctx context.Context, rc redis.UniversalClient, lane completion.Lane) *redis.Cmd {
	k := keysOf(lane)
	return plainCmd.Run(ctx, rc, []string{k.pending, k.paused, k.active, k.lease}, time.Now().Add(leaseTime).Unix(), k.task)
}

// Take takes a task as a server of ours does.
func Take(ctx context.Context, rc redis.UniversalClient, lane completion.Lane) *redis.Cmd {
	return keysOf(lane).take(ctx, rc, time.Now().Add(leaseTime).Unix())
}

// Complete fills in what is not said of c.
func (c *Config) Complete() error { return c.complete() }
