package embedded

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis is an in-process Redis without a network port. It keeps nothing beyond the process, and is as fast as the queue
// of one machine needs: some thousand tasks per second.
type Redis struct {
	mu     sync.Mutex
	srv    *miniredis.Miniredis
	closed bool
}

// StartRedis starts an empty Redis; Close ends it. Keys expire by the wall clock.
func StartRedis() (*Redis, error) {
	srv := miniredis.NewMiniRedis()
	srv.ClockTTL(true)
	c, err := srv.Dial() // the first connection starts it
	if err != nil {
		return nil, fmt.Errorf("start embedded redis: %w", err)
	}
	if err := c.Close(); err != nil {
		return nil, fmt.Errorf("start embedded redis: %w", err)
	}
	return &Redis{srv: srv}, nil
}

// Client returns a client with at most pool connections (0: go-redis' default). The caller closes it.
func (r *Redis) Client(pool int) redis.UniversalClient {
	return redis.NewClient(&redis.Options{
		Addr:                     "embedded",
		PoolSize:                 pool,
		Dialer:                   r.dial,
		ReadTimeout:              time.Minute, // a long backlog makes it slow, and nothing gets lost on the way
		MaxRetries:               -1,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Close ends all connections and forgets all data.
func (r *Redis) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.srv.Close()
}

func (r *Redis) dial(context.Context, string, string) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed { // or dialling would start it again
		return nil, net.ErrClosed
	}
	c, err := r.srv.Dial()
	if err != nil {
		return nil, err
	}
	return newEager(c), nil
}

// eager is a connection whose Write never waits. The server's end of the pipe has no buffer and answers each command
// before it reads the next but one, so a client that writes a long pipeline before it reads would wait for ever. What is
// not yet written is at most what the client has sent in one go.
type eager struct {
	net.Conn
	mu     sync.Mutex
	more   sync.Cond
	buf    []byte
	err    error
	closed bool
}

func newEager(c net.Conn) *eager {
	e := &eager{Conn: c}
	e.more.L = &e.mu
	go e.pump() // ends with Close
	return e
}

func (e *eager) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return 0, e.err
	}
	e.buf = append(e.buf, p...)
	e.more.Signal()
	return len(p), nil
}

func (e *eager) pump() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.err == nil {
		for len(e.buf) == 0 && !e.closed {
			e.more.Wait()
		}
		if e.closed {
			e.err = net.ErrClosed
			return
		}
		b := e.buf
		e.buf = nil
		e.mu.Unlock()
		_, err := e.Conn.Write(b)
		e.mu.Lock()
		e.err = err
	}
}

func (e *eager) Close() error {
	e.mu.Lock()
	e.closed = true
	e.more.Signal()
	e.mu.Unlock()
	return e.Conn.Close()
}

// A deadline for writing means nothing here, and would reach the write of another command.

func (e *eager) SetDeadline(t time.Time) error    { return e.SetReadDeadline(t) }
func (e *eager) SetWriteDeadline(time.Time) error { return nil }
