// Package limit holds tenants to what they may do: submits per second and open event streams, counted in Redis by all
// API processes together. Limits are kept in the store, where a lost Redis does not lose them; the Book reads them every
// two seconds and hands those that the queue enforces (jobs running) on to it.
//
// A Redis that is away lets everything pass: a limit protects the installation from its tenants, and must not stop it.
package limit

import (
	"context"
	"crypto/rand"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

const (
	interval  = 2 * time.Second // between two looks at the store
	lease     = 30 * time.Second
	again     = 5 * time.Second // when to try again that waits for others to end
	redisTime = time.Second     // longest that a request waits for Redis
)

// Renew is how often a Stream must be renewed; its place is given up after three times that.
const Renew = lease / 3

// Store is where limits are kept.
type Store interface {
	Limits(ctx context.Context) (map[string]completion.Limits, error)
}

// Queue enforces how many jobs of a tenant run.
type Queue interface {
	SetRunning(ctx context.Context, limits map[string]int) error
}

// Book knows all limits. It is safe for concurrent use.
type Book struct {
	store Store
	queue Queue
	rc    redis.UniversalClient
	rate  *redis_rate.Limiter
	log   *slog.Logger
	all   atomic.Pointer[map[string]completion.Limits]
}

// New returns a Book that knows of no limits until it runs, or Read was called.
func New(s Store, q Queue, rc redis.UniversalClient, log *slog.Logger) *Book {
	return &Book{store: s, queue: q, rc: rc, rate: redis_rate.NewLimiter(rc), log: log}
}

// Run reads the limits every two seconds until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := b.Read(ctx); err != nil && ctx.Err() == nil {
			b.log.Warn("limits not read, the ones before still hold", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Read reads the limits now.
func (b *Book) Read(ctx context.Context) error {
	all, err := b.store.Limits(ctx)
	if err != nil {
		return err
	}
	b.all.Store(&all)
	running := map[string]int{}
	for tenant, l := range all {
		running[tenant] = l.Running
	}
	return b.queue.SetRunning(ctx, running)
}

// Of returns a tenant's limits: its own, or those of every tenant.
func (b *Book) Of(tenant string) completion.Limits {
	all := b.all.Load()
	if all == nil {
		return completion.Limits{}
	}
	if own, ok := (*all)[tenant]; ok {
		return own
	}
	return (*all)[completion.EveryTenant]
}

// Submit counts a submit of the tenant. completion.CodeSubmitRate: it comes too soon, and RetryAfter says when it does not.
func (b *Book) Submit(ctx context.Context, tenant string) error {
	perSecond := b.Of(tenant).SubmitsPerSecond
	if perSecond <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	result, err := b.rate.Allow(ctx, "sluice:{"+tenant+"}:submits", redis_rate.Limit{
		Rate: 1, Period: time.Duration(float64(time.Second) / perSecond), Burst: max(1, int(math.Ceil(perSecond))),
	})
	if err != nil {
		b.log.Warn("submit not counted, Redis is away", "tenant", tenant, "error", err)
		return nil
	}
	if result.Allowed > 0 {
		return nil
	}
	e := completion.NewError(completion.CodeSubmitRate, "")
	e.RetryAfter = completion.Wait(max(result.RetryAfter, time.Millisecond))
	return e
}

// streamCmd takes or renews a place among a tenant's open streams.
//
// KEYS[1] sorted set: when each stream's place lapses, in Unix milliseconds
// ARGV[1] now, ARGV[2] when this place lapses, in Unix milliseconds
// ARGV[3] most places; ARGV[4] the stream
// ARGV[5] how long the key is kept without a renewal, in milliseconds
//
// Returns 1 if the stream has its place, 0 if all are taken.
var streamCmd = redis.NewScript(`
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", ARGV[1])
if not redis.call("ZSCORE", KEYS[1], ARGV[4]) and redis.call("ZCARD", KEYS[1]) >= tonumber(ARGV[3]) then
	return 0
end
redis.call("ZADD", KEYS[1], ARGV[2], ARGV[4])
redis.call("PEXPIRE", KEYS[1], ARGV[5])
return 1`)

// Stream is an open event stream's place among its tenant's.
type Stream struct {
	book   *Book
	tenant string
	id     string
}

// Stream takes a place for an event stream of the tenant, which the caller renews and closes.
// completion.CodeTooManyStreams: all are taken.
func (b *Book) Stream(ctx context.Context, tenant string) (*Stream, error) {
	s := &Stream{book: b, tenant: tenant, id: rand.Text()}
	if s.hold(ctx) {
		return s, nil
	}
	e := completion.NewError(completion.CodeTooManyStreams, "")
	e.RetryAfter = completion.Wait(again)
	return nil, e
}

// Renew keeps the place. A place that has lapsed meanwhile is taken anew, whether there is one or not.
func (s *Stream) Renew(ctx context.Context) { s.hold(ctx) }

func (s *Stream) hold(ctx context.Context) bool {
	most := s.book.Of(s.tenant).Streams
	if most <= 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, redisTime)
	defer cancel()
	now := time.Now()
	held, err := streamCmd.Run(ctx, s.book.rc, []string{s.key()}, now.UnixMilli(), now.Add(lease).UnixMilli(), most, s.id, lease.Milliseconds()).Bool()
	if err != nil {
		s.book.log.Warn("event stream not counted, Redis is away", "tenant", s.tenant, "error", err)
		return true
	}
	return held
}

// Close gives the place up.
func (s *Stream) Close() {
	if s.book.Of(s.tenant).Streams <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), redisTime)
	defer cancel()
	_ = s.book.rc.ZRem(ctx, s.key(), s.id).Err() // or it lapses
}

func (s *Stream) key() string { return "sluice:{" + s.tenant + "}:streams" }

// Full is the answer to a submit when as many jobs of the tenant wait as may.
func Full() error {
	e := completion.NewError(completion.CodeQueueFull, "")
	e.RetryAfter = completion.Wait(again)
	return e
}
