package queue

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// conn is the Redis client as asynq's server sees it: the script that takes tasks is replaced by ours and goes through
// park, those that settle them pass through acks, and all else goes straight on. It changes nothing for other users of
// the client.
type conn struct {
	redis.UniversalClient
	keys keys  // of the server's only lane
	park *park // of this server
	all  parks // of all servers with these slots: what ends at one may let another take a task
	acks *acks
}

// Eval and EvalSha are the only two ways in which asynq runs a script.
func (c *conn) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, keys, args, func(ctx context.Context) *redis.Cmd {
		return c.UniversalClient.Eval(ctx, script, keys, args...)
	})
}

func (c *conn) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, keys, args, func(ctx context.Context) *redis.Cmd {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	})
}

// send runs the script once.
type send func(context.Context) *redis.Cmd

func (c *conn) run(ctx context.Context, keys []string, args []any, next send) *redis.Cmd {
	switch actOf(keys) {
	case dequeue:
		return c.park.dequeue(ctx, func(ctx context.Context) *redis.Cmd { return c.keys.take(ctx, c.UniversalClient, args[0]) })
	case forward:
		return c.park.forward(ctx, next)
	case settle:
		defer c.all.free()
		return c.acks.settle(ctx, fmt.Sprint(args[0]), next)
	default:
		return next(ctx)
	}
}

// answer is a reply that Redis was not asked for.
func answer(ctx context.Context, val any, err error) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetVal(val)
	cmd.SetErr(err)
	return cmd
}
