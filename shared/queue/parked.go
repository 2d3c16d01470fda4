package queue

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Parked is a Redis client for a plain asynq server of any queue, with the repairs that a lane's server has: the server
// waits for Wake instead of polling while it is idle, and a finished task whose acknowledgement failed is acknowledged
// later. Configure makes the server's asynq.Config.
type Parked struct {
	redis.UniversalClient
	park *park
	acks *acks
	log  *slog.Logger
}

// NewParked returns a client on rc, which the caller closes, after the server's end. Without a Wake the server looks for
// tasks every maxWait, at 3 Redis commands.
func NewParked(rc redis.UniversalClient, maxWait time.Duration, log *slog.Logger) *Parked {
	return &Parked{UniversalClient: rc, park: newPark(maxWait), acks: newAcks(log), log: log}
}

// Configure returns c with what a server on this client needs.
func (p *Parked) Configure(c asynq.Config) asynq.Config {
	c.TaskCheckInterval, c.Logger, c.LogLevel = checkInterval, logger{p.log}, asynq.InfoLevel
	return c
}

// Wake lets the server look for a task now. It never blocks.
func (p *Parked) Wake() { p.park.wake() }

// Stop lets the server take no more, and give up soon on acknowledgements that fail. It comes before the server's
// Shutdown, which otherwise would wait for maxWait. It does not close the client below.
func (p *Parked) Stop() {
	p.park.close()
	p.acks.close()
}

// Eval and EvalSha are the only two ways in which asynq runs a script.
func (p *Parked) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return p.run(ctx, keys, args, func(ctx context.Context) *redis.Cmd {
		return p.UniversalClient.Eval(ctx, script, keys, args...)
	})
}

// EvalSha is Eval for a script that Redis may know.
func (p *Parked) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return p.run(ctx, keys, args, func(ctx context.Context) *redis.Cmd {
		return p.UniversalClient.EvalSha(ctx, sha, keys, args...)
	})
}

func (p *Parked) run(ctx context.Context, keys []string, args []any, next send) *redis.Cmd {
	switch actOf(keys) {
	case dequeue:
		return p.park.dequeue(ctx, next)
	case forward:
		return p.park.forward(ctx, next)
	case settle:
		return p.acks.settle(ctx, fmt.Sprint(args[0]), next)
	default:
		return next(ctx)
	}
}
