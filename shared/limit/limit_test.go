package limit_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/shared/embedded"
	"sluice/shared/limit"
	"sluice/shared/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is the store, and the queue.
type desk struct {
	limits  map[string]completion.Limits
	running map[string]int
	err     error
}

func (d *desk) Limits(context.Context) (map[string]completion.Limits, error) { return d.limits, d.err }

func (d *desk) SetRunning(_ context.Context, limits map[string]int) error {
	d.running = limits
	return nil
}

// servers are all kinds of Redis.
func servers(t *testing.T) map[string]redis.UniversalClient {
	t.Helper()
	inside, err := embedded.StartRedis()
	require.NoError(t, err)
	t.Cleanup(inside.Close)
	client := inside.Client(4)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return map[string]redis.UniversalClient{"Embedded": client, "Redis": testkit.StartRedis(t).Client(t)}
}

func book(t *testing.T, rc redis.UniversalClient, limits map[string]completion.Limits) (*limit.Book, *desk) {
	t.Helper()
	d := &desk{limits: limits}
	b := limit.New(d, d, rc, slog.New(slog.DiscardHandler))
	require.NoError(t, b.Read(t.Context()))
	return b, d
}

func requireCode(t *testing.T, code completion.Code, err error) *completion.Error {
	t.Helper()
	var e *completion.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
	require.Positive(t, e.RetryAfter)
	return e
}

func TestBook_Of(t *testing.T) {
	t.Parallel()
	for name, rc := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, d := book(t, rc, map[string]completion.Limits{"*": {Running: 3, Queued: 4}, "acme": {Running: 9}})
			require.Equal(t, completion.Limits{Running: 9}, b.Of("acme"))
			require.Equal(t, completion.Limits{Running: 3, Queued: 4}, b.Of("other"))
			require.Equal(t, map[string]int{"*": 3, "acme": 9}, d.running)
			d.err = errors.New("away")
			require.Error(t, b.Read(t.Context()))
			require.Equal(t, 9, b.Of("acme").Running, "the ones before still hold")
		})
	}
	require.Zero(t, limit.New(nil, nil, nil, nil).Of("acme"))
}

func TestBook_Submit(t *testing.T) {
	t.Parallel()
	for name, rc := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := book(t, rc, map[string]completion.Limits{"acme": {SubmitsPerSecond: 0.001}, "many": {SubmitsPerSecond: 0.0001}})
			require.NoError(t, b.Submit(t.Context(), "acme"))
			e := requireCode(t, completion.CodeSubmitRate, b.Submit(t.Context(), "acme"))
			require.InDelta(t, 1000, time.Duration(e.RetryAfter).Seconds(), 100)
			for range 10 {
				require.NoError(t, b.Submit(t.Context(), "free"), "without a limit")
			}
			var passed atomic.Int32
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					if b.Submit(t.Context(), "many") == nil {
						passed.Add(1)
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1, passed.Load(), "however many come at once")
		})
	}
}

func TestBook_Stream(t *testing.T) {
	t.Parallel()
	for name, rc := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := book(t, rc, map[string]completion.Limits{"acme": {Streams: 2}})
			first, err := b.Stream(t.Context(), "acme")
			require.NoError(t, err)
			second, err := b.Stream(t.Context(), "acme")
			require.NoError(t, err)
			_, err = b.Stream(t.Context(), "acme")
			requireCode(t, completion.CodeTooManyStreams, err)
			_, err = b.Stream(t.Context(), "other")
			require.NoError(t, err)
			first.Renew(t.Context())
			second.Close()
			third, err := b.Stream(t.Context(), "acme")
			require.NoError(t, err)
			third.Close()
			require.NoError(t, rc.ZAdd(t.Context(), "sluice:{acme}:streams", redis.Z{Score: 1, Member: "of a process that died long ago"}).Err())
			_, err = b.Stream(t.Context(), "acme")
			require.NoError(t, err)
		})
	}
}

// A Redis that is away stops nobody.
func TestBook_RedisAway(t *testing.T) {
	t.Parallel()
	rc := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, rc.Close()) })
	b, _ := book(t, rc, map[string]completion.Limits{"*": {SubmitsPerSecond: 0.001, Streams: 1}})
	for range 3 {
		require.NoError(t, b.Submit(t.Context(), "acme"))
		s, err := b.Stream(t.Context(), "acme")
		require.NoError(t, err)
		s.Close()
	}
}

func TestBook_Run(t *testing.T) {
	t.Parallel()
	d := &desk{limits: map[string]completion.Limits{"acme": {Queued: 1}}}
	b := limit.New(d, d, nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.NoError(t, b.Run(ctx))
	require.Equal(t, 1, b.Of("acme").Queued)
}
