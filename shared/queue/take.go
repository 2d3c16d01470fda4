package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// takeCmd is what a server runs in place of asynq's own dequeue script: it goes round the ring and takes the oldest task
// of the next tenant that may run one more.
//
// KEYS[1] pending, KEYS[2] paused, KEYS[3] active, KEYS[4] lease, KEYS[5] ring, KEYS[6] running
// ARGV[1] when the lease ends, in Unix seconds
// ARGV[2] prefix of the task hashes
// ARGV[3] prefix of the tenants' lists
// ARGV[4] prefix of the tenants' reservations
// ARGV[5] prefix of the tenants' running tasks, and ARGV[6] for how many seconds one may run
//
// Returns the task's message, and has made the task active; nil if nothing waits, or the lane is paused; 1 if all that
// waits is held back by running limits; 0 if the caller shall ask again, because pending was too long to sort at once.
//
// The running tasks of a tenant with a limit are kept in a set. Nothing is taken out of it when they end: only when the
// set is as large as the limit, those that have no lease any more are looked for. So the count is exact whatever became
// of a task, and costs nothing until it matters. Tenants that are held back keep their place in the ring: each is next
// when one of its tasks ends. An id whose task is gone, or is in the list a second time, is dropped.
//
// A lone task, for which nobody else waits, goes straight from pending to active. Where nothing waits, that is one command.
var takeCmd = redis.NewScript(sortLua + `
if redis.call("EXISTS", KEYS[1], KEYS[5]) == 0 or redis.call("EXISTS", KEYS[2]) == 1 then
	return nil
end
local function full(tenant, limit)
	local key = ARGV[5] .. tenant
	local n = redis.call("SCARD", key)
	if n < limit then
		return false
	end
	local ids = redis.call("SMEMBERS", key)
	for from = 1, #ids, 200 do
		local to = math.min(from + 199, #ids)
		for i, score in ipairs(redis.call("ZMSCORE", KEYS[4], unpack(ids, from, to))) do
			if not score then
				redis.call("SREM", key, ids[from + i - 1])
				n = n - 1
			end
		end
		if n < limit then
			return false
		end
	end
	return true
end
local function take(list, side, tenant, limit)
	while true do
		local id = redis.call("LMOVE", list, KEYS[3], side, "LEFT")
		if not id then
			return nil
		end
		local key = ARGV[2] .. id
		local task = redis.call("HMGET", key, "msg", "state")
		if task[1] and task[2] == "pending" then
			redis.call("HSET", key, "state", "active")
			redis.call("HDEL", key, "pending_since")
			redis.call("ZADD", KEYS[4], ARGV[1], id)
			if limit then
				redis.call("SADD", ARGV[5] .. tenant, id)
				redis.call("EXPIRE", ARGV[5] .. tenant, ARGV[6])
			end
			return task[1]
		end
		redis.call("LPOP", KEYS[3])
		if not task[1] then
			redis.call("DEL", key)
		end
	end
end
if redis.call("EXISTS", KEYS[5]) == 0 then
	local ids = redis.call("LRANGE", KEYS[1], -2, -1)
	if #ids == 0 then
		return nil
	elseif #ids == 1 then
		local tenant, job = tenantOf(ids[1])
		local limits = redis.call("HMGET", KEYS[6], "*", tenant)
		local limit = tonumber(limits[2] or limits[1] or nil)
		if not limit or not full(tenant, limit) then
			redis.call("ZREM", ARGV[4] .. tenant, job or "")
			return take(KEYS[1], "RIGHT", tenant, limit)
		end
	end
end
if not sort(KEYS[1], KEYS[5], ARGV[2], ARGV[3], ARGV[4]) then
	return 0
end
local held, step = 0, 2
while true do
	local tenants = redis.call("LRANGE", KEYS[5], held, held + step - 1)
	if #tenants == 0 then
		break
	end
	local limits = redis.call("HMGET", KEYS[6], "*", unpack(tenants))
	for i, tenant in ipairs(tenants) do
		local limit = tonumber(limits[i + 1] or limits[1] or nil)
		if limit and full(tenant, limit) then
			held = held + 1
		else
			local msg = take(ARGV[3] .. tenant, "LEFT", tenant, limit)
			if redis.call("EXISTS", ARGV[3] .. tenant) == 0 then
				redis.call("LREM", KEYS[5], 1, tenant)
			elseif held > 0 then
				redis.call("LREM", KEYS[5], 1, tenant)
				redis.call("RPUSH", KEYS[5], tenant)
			elseif #tenants > 1 then
				redis.call("LMOVE", KEYS[5], KEYS[5], "LEFT", "RIGHT")
			end
			if msg then
				return msg
			end
		end
	end
	step = 100
end
if held > 0 then
	return 1
end
return nil`)

// take asks for a task; leaseEnd is asynq's.
func (k keys) take(ctx context.Context, rc redis.UniversalClient, leaseEnd any) *redis.Cmd {
	return takeCmd.Run(ctx, rc, []string{k.pending, k.paused, k.active, k.lease, k.ring, k.running},
		leaseEnd, k.task, k.wait, k.admit, k.runs, int(taskTimeout.Seconds()))
}
