package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// ErrFull means that as many tasks of the tenant wait in the lane as may.
var ErrFull = errors.New("the tenant has too many waiting tasks")

// admitTime is how long a place stays reserved for a task that does not come.
const admitTime = 30 * time.Second

// admitCmd reserves a place among a tenant's waiting tasks.
//
// KEYS[1] pending, KEYS[2] ring, KEYS[3] the tenant's list, KEYS[4] the tenant's reservations
// ARGV[1] prefix of the task hashes
// ARGV[2] prefix of the tenants' lists
// ARGV[3] prefix of the tenants' reservations
// ARGV[4] job, ARGV[5] limit
// ARGV[6] now, and ARGV[7] when the reservation lapses, in Unix milliseconds
// ARGV[8] the time until then in milliseconds
//
// Returns 1 if the place is reserved, anew if it was already; 0 if there is none; -1 if the caller shall ask again,
// because pending was too long to sort at once.
var admitCmd = redis.NewScript(sortLua + `
if not sort(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]) then
	return -1
end
redis.call("ZREMRANGEBYSCORE", KEYS[4], "-inf", ARGV[6])
if not redis.call("ZSCORE", KEYS[4], ARGV[4]) then
	if redis.call("LLEN", KEYS[3]) + redis.call("ZCARD", KEYS[4]) >= tonumber(ARGV[5]) then
		return 0
	end
end
redis.call("ZADD", KEYS[4], ARGV[7], ARGV[4])
redis.call("PEXPIRE", KEYS[4], ARGV[8])
return 1`)

// Admit reserves a place among the tenant's waiting tasks of the lane, of which there are limit; 0 or less: as many as
// you like, and nothing is asked or reserved. The error wraps ErrFull if all are taken, by tasks that wait or by other
// reservations. Running and delayed tasks take no place. The reservation ends when the task is enqueued, with Withdraw,
// or after 30 s; to ask again for the same job makes it last from now. Callers at the same time, on whatever machine,
// never get more than limit places.
func (c *Client) Admit(ctx context.Context, t completion.Task, limit int) error {
	if limit <= 0 {
		return nil
	}
	if err := check(t); err != nil {
		return fmt.Errorf("admit job %s: %w", t.Ref.Job, err)
	}
	k := keysOf(t.Lane)
	keys := []string{k.pending, k.ring, k.wait + t.Ref.Tenant, k.admit + t.Ref.Tenant}
	for {
		now := time.Now()
		n, err := admitCmd.Run(ctx, c.rc, keys, k.task, k.wait, k.admit, t.Ref.Job, limit,
			now.UnixMilli(), now.Add(admitTime).UnixMilli(), admitTime.Milliseconds()).Int()
		switch {
		case err != nil:
			return unavailable("admit job "+t.Ref.Job, err)
		case n == 0:
			return fmt.Errorf("admit job %s: %w", t.Ref.Job, ErrFull)
		case n == 1:
			return nil
		}
	}
}

// Withdraw gives the place back that Admit reserved, for a job that was not stored after all. It does nothing if there is
// none.
func (c *Client) Withdraw(ctx context.Context, t completion.Task) error {
	if err := c.rc.ZRem(ctx, keysOf(t.Lane).admit+t.Ref.Tenant, t.Ref.Job).Err(); err != nil {
		return unavailable("withdraw job "+t.Ref.Job, err)
	}
	return nil
}
