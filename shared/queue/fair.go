package queue

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// sortLua is the beginning of every script that needs the waiting tasks by tenant.
//
// Asynq puts a task that becomes due into its pending list. Before anybody is served, sort moves what lies there, oldest
// first, into one list for each tenant, whose head is on the left. The tenants that have such a list stand in the ring,
// each once. A task that was handed back comes to the head of its tenant's list, all others to the tail; it is known by
// the missing pending_since, which asynq's requeue does not set and Revive and Reclaim remove. A place that Admit has
// reserved ends here, because the task itself is counted from now on.
//
// An id that names no tenant is not ours, or older than this scheme. It belongs to the tenant "", which is served like
// any other.
//
// One call moves up to 10,000 tasks, so that a long list never stops Redis for long; what is left stays in pending.
const sortLua = `
local function tenantOf(id)
	local tenant, job = string.match(id, "^([a-z0-9_%-]+):([a-z0-9_%-]+)$")
	return tenant or "", job
end
local function place(ids, ring, tasks, waits, admits)
	local order, tails, reserved = {}, {}, {}
	for i = #ids, 1, -1 do
		local id = ids[i]
		local tenant, job = tenantOf(id)
		if not tails[tenant] then
			order[#order + 1], tails[tenant] = tenant, {}
			reserved[tenant] = redis.call("EXISTS", admits .. tenant) == 1
		end
		if job and reserved[tenant] then
			redis.call("ZREM", admits .. tenant, job)
		end
		if redis.call("HEXISTS", tasks .. id, "pending_since") == 1 then
			table.insert(tails[tenant], id)
		elseif redis.call("LPUSH", waits .. tenant, id) == 1 then
			redis.call("RPUSH", ring, tenant)
		end
	end
	for _, tenant in ipairs(order) do
		local tail = tails[tenant]
		if #tail > 0 and redis.call("RPUSH", waits .. tenant, unpack(tail)) == #tail then
			redis.call("RPUSH", ring, tenant)
		end
	end
end
local function sort(pending, ring, tasks, waits, admits)
	for _ = 1, 20 do
		local ids = redis.call("LRANGE", pending, -500, -1)
		if #ids == 0 then
			return
		end
		redis.call("LTRIM", pending, 0, -1 - #ids)
		place(ids, ring, tasks, waits, admits)
	end
end
`

// takeCmd is what a server runs in place of asynq's own dequeue script: it goes round the ring and takes the oldest task
// of the next tenant that may run one more.
//
// KEYS[1] pending, KEYS[2] paused, KEYS[3] active, KEYS[4] lease, KEYS[5] ring, KEYS[6] running
// ARGV[1] when the lease ends, in Unix seconds
// ARGV[2] prefix of the task hashes
// ARGV[3] prefix of the tenants' lists
// ARGV[4] prefix of the tenants' reservations
//
// Returns the task's message, and has made the task active; nil if nothing waits, or the lane is paused; 1 if all that
// waits is held back by running limits; 0 if the caller shall ask again, because pending was too long.
//
// Tenants that are held back keep their place in the ring, so each is next when one of its tasks ends. How many tasks a
// tenant runs is counted in active, which is exact whatever happened to them; it costs one pass over that list, if there
// is a tenant with a limit before the one that is served. An id whose task is gone, or is in the list a second time, is
// dropped.
var takeCmd = redis.NewScript(sortLua + `
if redis.call("EXISTS", KEYS[2]) == 1 then
	return nil
end
sort(KEYS[1], KEYS[5], ARGV[2], ARGV[3], ARGV[4])
local runs
local function running(tenant)
	if not runs then
		runs = {}
		for _, id in ipairs(redis.call("LRANGE", KEYS[3], 0, -1)) do
			local whose = tenantOf(id)
			runs[whose] = (runs[whose] or 0) + 1
		end
	end
	return runs[tenant] or 0
end
local function take(tenant)
	while true do
		local id = redis.call("LMOVE", ARGV[3] .. tenant, KEYS[3], "LEFT", "LEFT")
		if not id then
			return nil
		end
		local key = ARGV[2] .. id
		local task = redis.call("HMGET", key, "msg", "state")
		if task[1] and task[2] == "pending" then
			redis.call("HSET", key, "state", "active")
			redis.call("HDEL", key, "pending_since")
			redis.call("ZADD", KEYS[4], ARGV[1], id)
			return task[1]
		end
		redis.call("LPOP", KEYS[3])
		if not task[1] then
			redis.call("DEL", key)
		end
	end
end
local held, step = 0, 1
while true do
	local tenants = redis.call("LRANGE", KEYS[5], held, held + step - 1)
	if #tenants == 0 then
		break
	end
	local limits = redis.call("HMGET", KEYS[6], "*", unpack(tenants))
	for i, tenant in ipairs(tenants) do
		local limit = limits[i + 1] or limits[1]
		if limit and running(tenant) >= tonumber(limit) then
			held = held + 1
		else
			local msg = take(tenant)
			redis.call("LREM", KEYS[5], 1, tenant)
			if redis.call("EXISTS", ARGV[3] .. tenant) == 1 then
				redis.call("RPUSH", KEYS[5], tenant)
			end
			if msg then
				return msg
			end
		end
	end
	step = 100
end
if redis.call("EXISTS", KEYS[1]) == 1 then
	return 0
elseif held > 0 then
	return 1
end
return nil`)

// take asks for a task; leaseEnd is asynq's.
func (k keys) take(ctx context.Context, rc redis.UniversalClient, leaseEnd any) *redis.Cmd {
	return takeCmd.Run(ctx, rc, []string{k.pending, k.paused, k.active, k.lease, k.ring, k.running}, leaseEnd, k.task, k.wait, k.admit)
}
