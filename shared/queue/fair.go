package queue

// tenantLua finds tenant and job in a task's id. An id that names no tenant is not ours, or older than this scheme. It
// belongs to the tenant "", which is served like any other.
const tenantLua = `
local function tenantOf(id)
	local tenant, job = string.match(id, "^([a-z0-9_%-]+):([a-z0-9_%-]+)$")
	return tenant or "", job
end
`

// sortLua is the beginning of every script that needs the waiting tasks by tenant.
//
// Asynq puts a task that becomes due into its pending list. Before anybody is served, sort moves what lies there, oldest
// first, into one list for each tenant, whose head is on the left. The tenants that have such a list stand in the ring,
// each once. A task that was handed back comes to the head of its tenant's list, all others to the tail; it is known by
// the missing pending_since, which asynq's requeue does not set and Revive and Reclaim remove. A place that Admit has
// reserved ends here, because the task itself is counted from now on.
//
// One call moves up to 1,000 tasks, so that a long list never stops Redis for long, and returns whether pending is empty
// now. If not, the script has to be run again before it decides anything: it does not know yet who waits.
const sortLua = tenantLua + `
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
	for _ = 1, 2 do
		local ids = redis.call("LRANGE", pending, -500, -1)
		if #ids > 0 then
			redis.call("LTRIM", pending, 0, -1 - #ids)
			place(ids, ring, tasks, waits, admits)
		end
		if #ids < 500 then
			return true
		end
	end
	return redis.call("EXISTS", pending) == 0
end
`
