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
// KEYS[1] running
// ARGV[1] the new limits' mark
// ARGV[2…] tenant, limit, tenant, limit, …
//
// Returns 1.
var runningCmd = redis.NewScript(`
redis.call("DEL", KEYS[1])
for i = 2, #ARGV, 2 do
	redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1])
end
if #ARGV > 1 then
	redis.call("HSET", KEYS[1], "` + markField + `", ARGV[1])
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
	mark, args := flatten(limits)
	for _, lane := range completion.Lanes {
		k := keysOf(lane)
		was, err := c.rc.HGet(ctx, k.running, markField).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return unavailable("read the limits of lane "+string(lane), err)
		}
		if was == mark {
			continue
		}
		if err := runningCmd.Run(ctx, c.rc, []string{k.running}, args...).Err(); err != nil {
			return unavailable("set the limits of lane "+string(lane), err)
		}
		c.ring(lane)
	}
	return nil
}

// flatten returns runningCmd's arguments, the first of which is the mark: empty if there are no limits.
func flatten(limits map[string]int) (mark string, args []any) {
	args = []any{""}
	sum := sha256.New()
	for _, tenant := range slices.Sorted(maps.Keys(limits)) {
		if n := limits[tenant]; n > 0 {
			_, _ = fmt.Fprintf(sum, "%q %d\n", tenant, n)
			args = append(args, tenant, n)
		}
	}
	if len(args) > 1 {
		mark = hex.EncodeToString(sum.Sum(nil)[:16])
		args[0] = mark
	}
	return mark, args
}
