// Package backend opens the three servers that api and worker stand on, PostgreSQL, Redis and NATS, and hands out the
// adapters over them. It is the only place that knows how a program's settings become connections; the all-in-one
// builds the same Backend over its embedded servers.
package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/uptrace/bun"
	"go.opentelemetry.io/otel/trace"

	"sluice/migrations"
	"sluice/shared/bell"
	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/eventlog"
	"sluice/shared/limit"
	"sluice/shared/queue"
	"sluice/shared/store"
	"sluice/shared/sweeper"
	"sluice/shared/telemetry"
)

// Config says where the servers are.
type Config struct {
	DatabaseURL string `name:"database-url" env:"SLUICE_DATABASE_URL" secret:"url" required:"" placeholder:"URL" help:"PostgreSQL: postgres://user:password@host:5432/name."`
	RedisURL    string `name:"redis-url" env:"SLUICE_REDIS_URL" secret:"url" default:"redis://127.0.0.1:6379" help:"Redis: redis://[:password@]host:6379[/db]; redis-sentinel://host:26379,host:26379?master_name=NAME; redis-cluster://host:6379,host:6379. With rediss in front for TLS."`
	NATS        `embed:""`
	Settings
}

// NATS says where it is, and who connects.
type NATS struct {
	URL   string `name:"nats-url" env:"SLUICE_NATS_URL" default:"nats://127.0.0.1:4222" help:"NATS: nats://host:4222, or tls:// for TLS; several separated by commas."`
	Creds string `name:"nats-creds" env:"SLUICE_NATS_CREDS" placeholder:"FILE" help:"The program's NATS user: api.creds, worker.creds or setup.creds as sluice nats init writes them."`
	CA    string `name:"nats-ca" env:"SLUICE_NATS_CA" placeholder:"FILE" help:"Certificates that a NATS server's may be signed by, in PEM; by default the system's."`
}

// Options are those of a connection: who connects, and whom it trusts.
func (n NATS) Options() ([]nats.Option, error) {
	var options []nats.Option
	if n.CA != "" {
		options = append(options, nats.RootCAs(n.CA))
	}
	if n.Creds == "" {
		return options, nil
	}
	creds, err := os.ReadFile(n.Creds)
	if err != nil {
		return nil, fmt.Errorf("SLUICE_NATS_CREDS: %w", err)
	}
	who, err := credential.Options(creds)
	if err != nil {
		return nil, fmt.Errorf("SLUICE_NATS_CREDS: %w", err)
	}
	return append(options, who...), nil
}

// Settings are what all programs of an installation must agree on.
type Settings struct {
	EventAge      time.Duration `env:"SLUICE_EVENT_AGE" default:"24h" help:"How long events can be replayed; afterwards viewers get the stored result at once."`
	EventBytes    int64         `env:"SLUICE_EVENT_BYTES" default:"1073741824" help:"Most bytes of events kept in each of the 8 streams; the oldest go first."`
	EventReplicas int           `env:"SLUICE_EVENT_REPLICAS" default:"1" help:"Copies of each event in a NATS cluster: 1, 3 or 5."`
	WorkerTTL     time.Duration `name:"worker-ttl" env:"SLUICE_WORKER_TTL" default:"8s" help:"A worker that has not been heard of for this long is dead, and its jobs go to others. It says that it lives four times as often."`
}

// minWorkerTTL leaves a busy machine the time to say that a worker lives.
const minWorkerTTL = 2 * time.Second

// Validate reports all faults of e at once.
func (e Settings) Validate() error {
	var err error
	if e.EventAge < time.Minute {
		err = errors.Join(err, fmt.Errorf("event age %s: want at least 1m", e.EventAge))
	}
	if e.EventBytes < 1<<20 {
		err = errors.Join(err, fmt.Errorf("event bytes %d: want at least %d", e.EventBytes, 1<<20))
	}
	if e.EventReplicas != 1 && e.EventReplicas != 3 && e.EventReplicas != 5 {
		err = errors.Join(err, fmt.Errorf("event replicas %d: want 1, 3 or 5", e.EventReplicas))
	}
	if e.WorkerTTL < minWorkerTTL {
		err = errors.Join(err, fmt.Errorf("worker TTL %s: want at least %s", e.WorkerTTL, minWorkerTTL))
	}
	return err
}

// Backend is the adapters over open connections.
type Backend struct {
	Store *store.Store
	Queue *queue.Client
	Log   *eventlog.Log
	Bell  *bell.Bell
	Limit *limit.Book // runs where the API does

	WorkerTTL time.Duration // see Settings
	EventAge  time.Duration // the same

	Tracer trace.Tracer // begins traces; New sets one that records nothing

	db    *bun.DB
	meter *meter
	nats  *nats.Conn
	urls  string // what the settings say of nats; empty: ask it
	redis func(slots int) (redis.UniversalClient, error)
	close []func() error
}

// Servers are open connections to build a Backend on.
type Servers struct {
	Database *bun.DB
	NATS     *nats.Conn
	Redis    func(slots int) (redis.UniversalClient, error) // a new client for that many jobs at once
}

// New returns a Backend over s. Closing the Backend closes what it opened itself and what is in s. The streams of the
// event log are there once somebody has called Log.Setup or Log.Ensure.
func New(s Servers, e Settings, log *slog.Logger) (*Backend, error) {
	client, err := s.Redis(0)
	if err != nil {
		return nil, fmt.Errorf("connect to Redis: %w", err)
	}
	if e.WorkerTTL == 0 {
		e.WorkerTTL = store.DefaultWorkerTTL
	}
	b := &Backend{
		Store: store.New(s.Database, store.Options{WorkerTTL: e.WorkerTTL}), Bell: bell.New(s.NATS), WorkerTTL: e.WorkerTTL, EventAge: e.EventAge,
		Tracer: telemetry.NoTracer, db: s.Database, nats: s.NATS, redis: s.Redis,
	}
	b.close = []func() error{s.Database.Close, client.Close, func() error { s.NATS.Close(); return nil }}
	b.Queue = queue.NewClient(client, b.Bell.Wake)
	b.Log, err = eventlog.New(s.NATS, eventlog.Options{
		MaxAge: e.EventAge, MaxBytes: e.EventBytes, Replicas: e.EventReplicas, Fallback: b.ending, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.Limit = limit.New(b.Store, b.Queue, client, log)
	b.meter = newMeter(b)
	return b, nil
}

// ending asks the store how a job or a batch ended.
func (b *Backend) ending(ctx context.Context, ref completion.Ref) (eventlog.Ending, error) {
	if ref.IsBatch() {
		batch, err := b.Store.Batch(ctx, ref)
		if err != nil {
			return eventlog.Ending{}, err
		}
		return eventlog.BatchEnding(batch), nil
	}
	job, err := b.Store.Get(ctx, ref)
	if err != nil {
		return eventlog.Ending{}, err
	}
	return eventlog.JobEnding(job), nil
}

// startLimit is how long a starting program waits for its servers.
const startLimit = 30 * time.Second

// Open connects to the servers of c. A server that is away at first is waited for up to half a minute; one that goes
// away later is waited for as long as it takes.
func Open(ctx context.Context, c Config, name string, log *slog.Logger) (*Backend, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	db, err := store.OpenPostgres(c.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("SLUICE_DATABASE_URL: %w", err)
	}
	if err := insist(ctx, "PostgreSQL", log, db.PingContext); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	nc, err := connect(ctx, c.NATS, name, log)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b, err := New(Servers{Database: db, NATS: nc, Redis: func(slots int) (redis.UniversalClient, error) {
		return queue.Open(c.RedisURL, poolSize(slots))
	}}, c.Settings, log)
	if err != nil {
		return nil, err
	}
	b.urls = c.URL
	if err := migrations.Check(ctx, db); err != nil {
		log.Warn("the schema is another release's", "error", err)
	}
	return b, nil
}

func connect(ctx context.Context, n NATS, name string, log *slog.Logger) (nc *nats.Conn, err error) {
	options, err := n.Options()
	if err != nil {
		return nil, err
	}
	options = append(options, NATSOptions(name, log)...)
	err = insist(ctx, "NATS", log, func(context.Context) (err error) {
		nc, err = nats.Connect(n.URL, options...)
		return err
	})
	return nc, err
}

// poolSize gives every job a connection to be acknowledged on, within reason.
func poolSize(slots int) int { return min(max(slots, 32), 256) }

// NATSOptions are those of every connection of ours: it comes back by itself, for ever, and says so in the log.
func NATSOptions(name string, log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name("sluice " + name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("NATS connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrSlowConsumer) { // the event log recovers from it
				log.Warn("NATS", "error", err)
			}
		}),
	}
}

// insist calls connect until it succeeds or ctx ends.
func insist(ctx context.Context, server string, log *slog.Logger, connect func(context.Context) error) error {
	for told := false; ; {
		err := connect(ctx)
		if err == nil {
			return nil
		}
		if !told {
			log.Warn("waiting for "+server, "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s cannot be reached: %w", server, err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Redis returns a new client for a lane with that many slots. The caller closes it.
func (b *Backend) Redis(slots int) (redis.UniversalClient, error) { return b.redis(slots) }

// Sweeper returns a new sweeper over the adapters, for the caller to run.
func (b *Backend) Sweeper(log *slog.Logger) *sweeper.Sweeper {
	return sweeper.New(b.Store, b.Queue, b.Log, sweeper.Config{WorkerTTL: b.WorkerTTL, Found: b.meter.found}, log)
}

// NATSURL is where NATS is, without a user or password: all servers that the settings name, separated by commas.
func (b *Backend) NATSURL() string {
	urls := b.urls
	if urls == "" {
		urls = b.nats.ConnectedUrl()
	}
	var list []string
	for text := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil {
			return ""
		}
		u.User = nil
		list = append(list, u.String())
	}
	return strings.Join(list, ",")
}

// Ready checks that jobs can be accepted and followed now; its error names the server that is away.
func (b *Backend) Ready(ctx context.Context) error {
	if err := b.Store.Ping(ctx); err != nil {
		return err
	}
	if err := b.schemaReady(ctx); err != nil {
		return err
	}
	if err := b.Queue.Ping(ctx); err != nil {
		return completion.NewError(completion.CodeUnavailable, "Redis is not ready.").Because(err)
	}
	return b.connected(ctx)
}

func (b *Backend) connected(context.Context) error {
	if !b.nats.IsConnected() {
		return completion.NewError(completion.CodeUnavailable, "NATS is not ready.")
	}
	return nil
}

// Close closes all connections.
func (b *Backend) Close() error {
	var err error
	for _, c := range b.close {
		err = errors.Join(err, c())
	}
	return err
}
