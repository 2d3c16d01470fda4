package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

// bulkSize is how many tasks travel in one pipeline.
const bulkSize = 500

// EnqueueAll is Enqueue for many tasks: the i-th error is the i-th task's. It is made for tasks that the queue mostly
// knows, which cost one small read each; those that it does not know cost what Enqueue costs, without the round trips.
//
// Unlike Enqueue, it also replaces what lies in the queue under the job's id and will never be delivered: an archived
// task, or what a fault left behind.
func (c *Client) EnqueueAll(ctx context.Context, tasks []completion.Task) []error {
	errs := make([]error, 0, len(tasks))
	for part := range slices.Chunk(tasks, bulkSize) {
		found := c.look(ctx, part)
		c.add(ctx, part, found)
		errs = append(errs, found...)
	}
	for _, lane := range completion.Lanes {
		for i, t := range tasks {
			if t.Lane == lane && errs[i] == nil && due(t) {
				c.ring(lane)
				break
			}
		}
	}
	return errs
}

// look returns nil for each task that the queue does not know.
func (c *Client) look(ctx context.Context, tasks []completion.Task) []error {
	errs := make([]error, len(tasks))
	states := make([]*redis.StringCmd, len(tasks))
	pipe := c.rc.Pipeline()
	for i, t := range tasks {
		states[i] = pipe.HGet(ctx, keysOf(t.Lane).task+taskID(t.Ref), "state")
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, t := range tasks {
		known, err := false, states[i].Err()
		switch state := states[i].Val(); {
		case errors.Is(err, redis.Nil):
			err = nil
		case err != nil:
		case state == "pending", state == "retry", state == "scheduled":
			known = true
		default:
			known, err = c.salvage(ctx, t)
		}
		switch {
		case err != nil:
			errs[i] = unavailable("look up job "+t.Ref.Job, err)
		case known:
			errs[i] = fmt.Errorf("enqueue job %s: %w", t.Ref.Job, completion.ErrKnown)
		}
	}
	return errs
}

// add enqueues the tasks whose error is nil.
func (c *Client) add(ctx context.Context, tasks []completion.Task, errs []error) {
	rec := &recorder{UniversalClient: c.rc, pipe: c.rc.Pipeline(), loaded: map[string]bool{}}
	aq := asynq.NewClientFromRedisClient(rec)
	sent := make([]*redis.Cmd, len(tasks))
	for i, t := range tasks {
		if errs[i] == nil {
			if errs[i] = enqueue(ctx, aq, t); errs[i] == nil {
				sent[i] = rec.last
			}
		}
	}
	if rec.last == nil {
		return
	}
	_, _ = rec.pipe.Exec(ctx) // each command has its own error
	for i, cmd := range sent {
		if cmd == nil {
			continue
		}
		switch n, err := cmd.Int64(); {
		case err != nil:
			errs[i] = unavailable("enqueue job "+tasks[i].Ref.Job, err)
		case n == 0:
			errs[i] = fmt.Errorf("enqueue job %s: %w", tasks[i].Ref.Job, completion.ErrKnown)
		}
	}
}

// recorder is a Redis client that puts asynq's scripts into a pipeline and answers at once as if they had succeeded;
// what Redis says comes later, in the recorded commands. It is for one goroutine.
type recorder struct {
	redis.UniversalClient
	pipe   redis.Pipeliner
	loaded map[string]bool // scripts whose text is in the pipeline, by text and cluster slot
	last   *redis.Cmd
}

// EvalSha makes asynq send the script's text.
func (r *recorder) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	return answer(ctx, nil, notLoaded{})
}

// Eval sends the text once for all tasks of a lane, and its hash for the others.
func (r *recorder) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if place := keys[1] + script; !r.loaded[place] {
		r.loaded[place] = true
		r.last = r.pipe.Eval(ctx, script, keys, args...)
	} else {
		r.last = r.pipe.EvalSha(ctx, redis.NewScript(script).Hash(), keys, args...)
	}
	return answer(ctx, int64(1), nil)
}

// notLoaded is Redis' answer for an unknown script.
type notLoaded struct{}

func (notLoaded) Error() string { return "NOSCRIPT recorded" }
func (notLoaded) RedisError()   {}
