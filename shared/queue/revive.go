package queue

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

const (
	// DeadAfter is a good deadAfter for Revive: two of asynq's heartbeats may be late.
	DeadAfter = 12 * time.Second

	leaseTime  = 30 * time.Second // what asynq sets, and extends to every 5 s
	reviveStep = 100
)

// reviveCmd gives the tasks of dead servers back, to the head of their tenants' lines (see sortLua) and without counting a
// try.
//
// KEYS[1] active, KEYS[2] lease, KEYS[3] pending
// ARGV[1] leases that end until this Unix time are dead
// ARGV[2] prefix of the task hashes
// ARGV[3] at most so many leases
//
// Returns how many tasks are pending again, and how many leases were looked at.
//
// A server sets and extends a lease to 30 s from now, so a lease tells when it was extended last. An active task without
// a lease is the remains of a fault, and asynq itself would never touch it; since all scripts change both at once, it is
// worth a search only if their numbers differ. A task without its message is deleted: nothing could deliver it, and its
// id would keep the sweeper from enqueueing the job anew.
var reviveCmd = redis.NewScript(`
local revived = 0
local function revive(id)
	local key = ARGV[2] .. id
	redis.call("LREM", KEYS[1], 0, id)
	redis.call("ZREM", KEYS[2], id)
	if redis.call("HEXISTS", key, "msg") == 0 then
		redis.call("DEL", key)
	elseif redis.call("HGET", key, "state") == "active" then
		redis.call("RPUSH", KEYS[3], id)
		redis.call("HSET", key, "state", "pending")
		redis.call("HDEL", key, "pending_since")
		revived = revived + 1
	end
end
local dead = redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", ARGV[1], "LIMIT", 0, tonumber(ARGV[3]))
for _, id in ipairs(dead) do
	revive(id)
end
if redis.call("LLEN", KEYS[1]) > redis.call("ZCARD", KEYS[2]) then
	for _, id in ipairs(redis.call("LRANGE", KEYS[1], 0, -1)) do
		if not redis.call("ZSCORE", KEYS[2], id) then
			revive(id)
		end
	end
end
return {revived, #dead}`)

// Revive makes the tasks pending again whose server has not extended their lease for deadAfter (to the second; a live
// server does it every 5 s), and returns how many. It is to be called every second or two, from anywhere and any number of
// times. A server that was only slow goes on with its task beside the new delivery: the claim in the store decides.
func (c *Client) Revive(ctx context.Context, lane completion.Lane, deadAfter time.Duration) (int, error) {
	k := keysOf(lane)
	total := 0
	for looked := int64(reviveStep); looked == reviveStep; {
		res, err := reviveCmd.Run(ctx, c.rc, []string{k.active, k.lease, k.pending},
			time.Now().Add(leaseTime-deadAfter).Unix(), k.task, reviveStep).Int64Slice()
		if err != nil {
			return total, unavailable("revive tasks of lane "+string(lane), err)
		}
		total, looked = total+int(res[0]), res[1]
	}
	if total > 0 {
		c.ring(lane)
	}
	return total, nil
}

// reclaimCmd gives back tasks whose workers are known to be dead, to the head of their tenants' lines (see sortLua).
//
// KEYS[1] active, KEYS[2] lease, KEYS[3] pending
// ARGV[1] leases that end until this Unix time may be taken away
// ARGV[2] prefix of the task hashes
// ARGV[3…] task ids
//
// Returns how many tasks are pending again. A younger lease belongs to a server that has just taken the task.
var reclaimCmd = redis.NewScript(`
local revived = 0
for i = 3, #ARGV do
	local id = ARGV[i]
	local lease = redis.call("ZSCORE", KEYS[2], id)
	if lease and tonumber(lease) <= tonumber(ARGV[1]) and redis.call("HGET", ARGV[2] .. id, "state") == "active" then
		redis.call("LREM", KEYS[1], 0, id)
		redis.call("ZREM", KEYS[2], id)
		redis.call("RPUSH", KEYS[3], id)
		redis.call("HSET", ARGV[2] .. id, "state", "pending")
		redis.call("HDEL", ARGV[2] .. id, "pending_since")
		revived = revived + 1
	end
end
return revived`)

// reclaimAfter is how old a lease must be to be taken from a server whose worker is known to be dead: a live server
// extends it every 5 s.
const reclaimAfter = 6 * time.Second

// Reclaim makes the tasks of one lane pending again that a server holds whose worker is known to be dead, and returns how
// many. It is Revive for a caller who knows better than the leases do, and sooner. Tasks in another state, or of a lease
// younger than 6 s, are left alone.
func (c *Client) Reclaim(ctx context.Context, lane completion.Lane, jobs []completion.Ref) (int, error) {
	k := keysOf(lane)
	total := 0
	for part := range slices.Chunk(jobs, reviveStep) {
		args := []any{time.Now().Add(leaseTime - reclaimAfter).Unix(), k.task}
		for _, ref := range part {
			args = append(args, taskID(ref))
		}
		n, err := reclaimCmd.Run(ctx, c.rc, []string{k.active, k.lease, k.pending}, args...).Int()
		if err != nil {
			return total, unavailable("reclaim tasks of lane "+string(lane), err)
		}
		total += n
	}
	if total > 0 {
		c.ring(lane)
	}
	return total, nil
}
