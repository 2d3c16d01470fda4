package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	// plainQueue is the queue of Asynq alone.
	plainQueue = "plain"
	// slots is how many batch jobs a worker runs at once by default.
	slots = 64
	// enqueuers is how many goroutines enqueue; more do not make it faster.
	enqueuers = 8
)

// ceiling enqueues n tasks with a payload like that of a line's job, while a stock Asynq server
// with as many slots as the worker has for batch jobs drains them in a process of its own.
func (c *cluster) ceiling(ctx context.Context, s *site, n int) (h haul, err error) {
	server, err := start(s.program("ceiling"), nil, c.redisURL(), plainQueue, strconv.Itoa(slots))
	if err != nil {
		return h, err
	}
	defer server.Stop()
	if _, err := server.Find(ctx, "ceiling ready"); err != nil {
		return h, err
	}
	if err := rest(ctx, s.Settle); err != nil {
		return h, err
	}
	drained, err := c.drained(ctx)
	if err != nil {
		return h, err
	}
	began := time.Now()
	enqueued := c.enqueue(ctx, n)
	h.redis, err = c.watchRedis(ctx, func() (bool, error) {
		now, err := c.drained(ctx)
		return now >= drained+n, err
	})
	h.rate = float64(n) / time.Since(began).Seconds()
	return h, errors.Join(err, enqueued())
}

// enqueue begins to enqueue n tasks; what it returns waits for the end of that.
func (c *cluster) enqueue(ctx context.Context, n int) (wait func() error) {
	client := asynq.NewClientFromRedisClient(c.redis)
	task := asynq.NewTask("line", []byte(`{"tenant":"local","job":"job_019a0000-0000-7000-8000-000000000000"}`))
	var running sync.WaitGroup
	failed := make([]error, enqueuers)
	for i := range enqueuers {
		running.Go(func() {
			for k := i; k < n && failed[i] == nil; k += enqueuers {
				_, failed[i] = client.EnqueueContext(ctx, task, asynq.Queue(plainQueue))
			}
		})
	}
	return func() error {
		running.Wait()
		if err := errors.Join(failed...); err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		return nil
	}
}

// drained is how many tasks of Asynq alone have been processed, by Asynq's own count.
func (c *cluster) drained(ctx context.Context) (int, error) {
	n, err := c.redis.Get(ctx, "asynq:{"+plainQueue+"}:processed").Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("count tasks: %w", err)
	}
	return n, nil
}

var usedMemory = regexp.MustCompile(`used_memory:(\d+)`)

// redisMemory is what Redis holds, in bytes.
func (c *cluster) redisMemory(ctx context.Context) (int64, error) {
	info, err := c.redis.Info(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("ask for Redis' memory: %w", err)
	}
	m := usedMemory.FindStringSubmatch(info)
	if m == nil {
		return 0, fmt.Errorf("ask for Redis' memory: it says %q", info)
	}
	return strconv.ParseInt(m[1], 10, 64)
}
