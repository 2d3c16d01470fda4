package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"sluice/shared/embedded"
)

// polling is the obvious alternative's queue: an Asynq server as it comes, on the same in-process Redis that the
// all-in-one has. Its handler streams from the model; nothing is stored and nobody subscribes.
type polling struct {
	redis   *embedded.Redis
	rc      redis.UniversalClient
	client  *asynq.Client
	server  *asynq.Server
	waiting sync.Map // task id → chan error
}

// openPolling starts the server with Asynq's default TaskCheckInterval, of a second.
func openPolling(m *model) (*polling, error) {
	server, err := embedded.StartRedis()
	if err != nil {
		return nil, err
	}
	p := &polling{redis: server, rc: server.Client(0)}
	p.client = asynq.NewClientFromRedisClient(p.rc)
	p.server = asynq.NewServerFromRedisClient(p.rc, asynq.Config{Concurrency: 64, LogLevel: asynq.FatalLevel})
	err = p.server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		waits, ok := p.waiting.Load(string(t.Payload()))
		if !ok {
			return asynq.SkipRetry // its sample has given up
		}
		first := waits.(chan error)
		err := m.stream(ctx, func() { first <- nil })
		if err != nil {
			first <- err
			return errors.Join(err, asynq.SkipRetry)
		}
		return nil
	}))
	if err != nil {
		p.release()
		return nil, fmt.Errorf("start the Asynq server: %w", err)
	}
	return p, nil
}

func (p *polling) close() {
	p.server.Shutdown()
	p.release()
}

func (p *polling) release() {
	_ = p.rc.Close() // fails only if closed already
	p.redis.Close()
}

// sample is the time from before the task is enqueued until its handler has the first text.
func (p *polling) sample(ctx context.Context) (time.Duration, error) {
	id, first := rand.Text(), make(chan error, 2)
	p.waiting.Store(id, first)
	defer p.waiting.Delete(id)
	began := time.Now()
	if _, err := p.client.EnqueueContext(ctx, asynq.NewTask("completion", []byte(id)), asynq.MaxRetry(0)); err != nil {
		return 0, fmt.Errorf("enqueue: %w", err)
	}
	select {
	case err := <-first:
		return time.Since(began), err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}
