package queue

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	ackLimit = 25 * time.Second // less than the lease's 30 s: after that the task belongs to whoever revives it
	ackHurry = 3 * time.Second  // the limit once the server has nothing else left to do
	ackEvery = 200 * time.Millisecond
)

// acks sends what settles a delivery (done, retry, archive, requeue) until Redis has it. Asynq tries once and then again
// with a context that it has cancelled already, which fails by itself; the finished task would run again.
//
// A reply of "NOT FOUND" counts as settled: an earlier try arrived but its reply did not, or the task was given to another
// server, or Redis lost it. In each case there is nothing left to say.
type acks struct {
	log   *slog.Logger
	limit time.Duration
	every time.Duration

	hurry chan struct{}
	once  sync.Once

	mu   sync.Mutex
	mute map[string]bool // tasks that are left alone, by id
}

func newAcks(log *slog.Logger) *acks {
	return &acks{log: log, limit: ackLimit, every: ackEvery, hurry: make(chan struct{}), mute: map[string]bool{}}
}

// leave makes the next settling of the task a silent one: Redis keeps it as it is.
func (a *acks) leave(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mute[id] = true
}

// claim forgets that the task was to be left alone.
func (a *acks) claim(id string) (was bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was = a.mute[id]
	delete(a.mute, id)
	return was
}

// close shortens the limit: the server is about to end.
func (a *acks) close() { a.once.Do(func() { close(a.hurry) }) }

func (a *acks) settle(ctx context.Context, id string, next send) *redis.Cmd {
	if a.claim(id) {
		return answer(ctx, "OK", nil)
	}
	ctx = context.WithoutCancel(ctx)
	start, limit, hurry := time.Now(), a.limit, a.hurry
	for {
		cmd := next(ctx)
		err := cmd.Err()
		switch {
		case err == nil:
			return cmd
		case notFound(err):
			a.log.Debug("task is not ours any more", "task_id", id)
			return answer(ctx, "OK", nil)
		case !passing(err), time.Since(start) > limit:
			return cmd
		}
		select {
		case <-hurry:
			limit, hurry = min(limit, time.Since(start)+ackHurry), nil
		case <-time.After(a.every):
		}
	}
}

func notFound(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.Contains(reply.Error(), "NOT FOUND")
}

// passing reports whether the same script may succeed later: transport errors and what a server says while it starts,
// fails over or is full.
func passing(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return true
	}
	for _, p := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "OOM", "BUSY", "MISCONF", "NOREPLICAS", "max number of clients"} {
		if redis.HasErrorPrefix(err, p) {
			return true
		}
	}
	return false
}
