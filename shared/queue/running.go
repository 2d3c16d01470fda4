package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// markField of the hash of limits holds what the limits' sum is, so that unchanged ones need not be sent. It is no tenant.
const markField = "#"

// anyTenant is the field for those that are not named, see takeCmd.
const anyTenant = "*"

// runningCmd replaces the limits of one lane.
//
// KEYS[1] running, KEYS[2] active
// ARGV[1] prefix of the tenants' running tasks, and ARGV[2] for how many seconds one may run
// ARGV[3] the new limits' mark
// ARGV[4…] tenant, limit, tenant, limit, …
//
// Returns 1. The tasks that run already are counted for those who had no limit before.
var runningCmd = redis.NewScript(tenantLua + `
redis.call("DEL", KEYS[1])
if #ARGV == 3 then
	return 1
end
redis.call("HSET", KEYS[1], "` + markField + `", ARGV[3])
for i = 4, #ARGV, 2 do
	redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1])
end
local all = redis.call("HEXISTS", KEYS[1], "` + anyTenant + `") == 1
for _, id in ipairs(redis.call("LRANGE", KEYS[2], 0, -1)) do
	local tenant = tenantOf(id)
	if all or redis.call("HEXISTS", KEYS[1], tenant) == 1 then
		redis.call("SADD", ARGV[1] .. tenant, id)
		redis.call("EXPIRE", ARGV[1] .. tenant, ARGV[2])
	end
end
return 1`)

// SetRunning limits how many tasks of a tenant run at once, in each lane by itself; "*" stands for every tenant that is
// not named. The limits replace all earlier ones; one of 0 or less is as if it were not there, and means no limit. They
// hold for tasks that are taken from now on, whoever takes them. Redis may lose them, so call it now and then: when they
// are those that Redis has already, that costs one small read for each lane.
func (c *Client) SetRunning(ctx context.Context, limits map[string]int) error {
	for tenant := range limits {
		if tenant != anyTenant && !completion.ValidToken(tenant) {
			return fmt.Errorf("set running limits: bad tenant %q", tenant)
		}
	}
	mark, pairs := flatten(limits)
	for _, lane := range completion.Lanes {
		k := keysOf(lane)
		was, err := c.rc.HGet(ctx, k.running, markField).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return unavailable("read the limits of lane "+string(lane), err)
		}
		if was == mark {
			continue
		}
		args := append([]any{k.runs, int(taskTimeout.Seconds()), mark}, pairs...)
		if err := runningCmd.Run(ctx, c.rc, []string{k.running, k.active}, args...).Err(); err != nil {
			return unavailable("set the limits of lane "+string(lane), err)
		}
		c.ring(lane)
	}
	return nil
}

// flatten returns tenant, limit, tenant, limit, … and their mark, which is empty if there are none.
func flatten(limits map[string]int) (mark string, pairs []any) {
	sum := sha256.New()
	for _, tenant := range slices.Sorted(maps.Keys(limits)) {
		if n := limits[tenant]; n > 0 {
			_, _ = fmt.Fprintln(sum, tenant, n)
			pairs = append(pairs, tenant, n)
		}
	}
	if len(pairs) > 0 {
		mark = hex.EncodeToString(sum.Sum(nil)[:16])
	}
	return mark, pairs
}
