package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// errorPause is how long a failed dequeue waits before the next. Asynq itself does not wait at all.
const errorPause = 100 * time.Millisecond

// closedPause keeps a processor that has not yet been told to stop from spinning.
const closedPause = time.Millisecond

// heldPause is how long a server waits whose tenants all run as many tasks as they may: one may end on another server.
const heldPause = 100 * time.Millisecond

// park keeps asynq's processor from polling. Asynq asks for a task, and after a "none" sleeps for its check interval.
// That interval is set to nothing, and the "none" is held back here instead, until somebody says that there may be a
// task.
//
// Nothing is lost: the wake-up is kept until it is used, and a task is in Redis before its wake-up is sent, so either the
// dequeue saw the task or the wait that follows ends at once. A wake-up that never arrives costs maxWait. The waiting
// processor holds one of asynq's slots, as it does in asynq's own sleep, and no connection.
type park struct {
	maxWait time.Duration
	bell    chan struct{} // one slot: a second wake-up before the first is used says nothing new
	freed   chan struct{} // one slot: a delivery of this server has ended since the last dequeue began
	closed  chan struct{}
	once    sync.Once
}

func newPark(maxWait time.Duration) *park {
	return &park{maxWait: maxWait, bell: make(chan struct{}, 1), freed: make(chan struct{}, 1), closed: make(chan struct{})}
}

// wake lets the processor look for a task now, or, if it is busy, as soon as it would wait. It never blocks.
func (p *park) wake() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// free says that a tenant runs one task less. It matters only to a processor that waits for this, and never blocks.
func (p *park) free() {
	select {
	case p.freed <- struct{}{}:
	default:
	}
}

// close lets the processor go for good: it finds nothing any more. It comes before asynq's shutdown, which otherwise
// would wait for the wait.
func (p *park) close() { p.once.Do(func() { close(p.closed) }) }

// dequeue runs next, which takes a task as takeCmd does, and answers what asynq's own script would.
func (p *park) dequeue(ctx context.Context, next send) *redis.Cmd {
	select {
	case <-p.closed:
		time.Sleep(closedPause) // asynq offers nothing to wait for here: it asks again at once until it stops its processor
		return answer(ctx, nil, redis.Nil)
	default:
	}
	select {
	case <-p.freed: // the dequeue sees what ended before it
	default:
	}
	cmd := next(ctx)
	held, none := cmd.Val().(int64)
	switch err := cmd.Err(); {
	case errors.Is(err, redis.Nil):
		p.wait(p.maxWait, p.bell, nil)
	case err != nil:
		p.wait(errorPause, nil, nil)
	case none:
		if held == 1 {
			p.wait(min(heldPause, p.maxWait), p.bell, p.freed)
		}
		return answer(ctx, nil, redis.Nil)
	}
	return cmd
}

// forward wakes the processor for delayed tasks that have become due: they have no producer to do it.
func (p *park) forward(ctx context.Context, next send) *redis.Cmd {
	cmd := next(ctx)
	if n, err := cmd.Int(); err == nil && n > 0 {
		p.wake()
	}
	return cmd
}

func (p *park) wait(limit time.Duration, bell, freed <-chan struct{}) {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-bell:
	case <-freed:
	case <-t.C:
	case <-p.closed:
	}
}

// parks are those of the servers that share a lane's slots.
type parks []*park

func (all parks) wake() {
	for _, p := range all {
		p.wake()
	}
}

func (all parks) free() {
	for _, p := range all {
		p.free()
	}
}

func (all parks) close() {
	for _, p := range all {
		p.close()
	}
}
