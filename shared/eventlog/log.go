package eventlog

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/shared/completion"
)

// Shards is the number of streams that the jobs are spread over. It is part of the subjects that writers use and
// cannot change while logs are kept.
const Shards = 8

// MaxMessageBytes is the largest event a stream takes; see completion.MaxEventBytes for what keeps below it.
const MaxMessageBytes = 256 << 10

// Options of a Log. The zero value is usable.
type Options struct {
	// MaxAge is how long an event is kept; it must exceed the longest time a job may run. 0: 24 hours.
	MaxAge time.Duration
	// MaxBytes bounds each of the Shards streams; the oldest events go first. 0: 1 GiB.
	MaxBytes int64
	// Replicas of each stream: 1, or 3 or 5 in a cluster. 0: 1.
	Replicas int
	// Silence is after how long without an event a reader looks for itself. 0: 10 s.
	Silence time.Duration
	// Fallback asks the store. With it, readers of what has ended get the final event even if the log lost
	// it or never had it. nil: the log is all there is.
	Fallback func(context.Context, completion.Ref) (Ending, error)
	// Log receives what a caller cannot be told: failures of Fallback and of repairs. nil: slog.Default().
	Log *slog.Logger
}

func (o *Options) check() error {
	var faults []error
	if o.MaxAge < 0 || o.MaxAge > 0 && o.MaxAge < time.Second {
		faults = append(faults, fmt.Errorf("MaxAge %s is below a second", o.MaxAge))
	}
	if o.MaxBytes < 0 {
		faults = append(faults, fmt.Errorf("MaxBytes %d is negative", o.MaxBytes))
	}
	if o.Replicas < 0 || o.Replicas > 5 {
		faults = append(faults, fmt.Errorf("%d Replicas; there may be 1 to 5", o.Replicas))
	}
	if o.Silence < 0 {
		faults = append(faults, fmt.Errorf("Silence %s is negative", o.Silence))
	}
	return errors.Join(faults...)
}

func (o *Options) fill() {
	if o.MaxAge == 0 {
		o.MaxAge = 24 * time.Hour
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	o.Replicas = max(o.Replicas, 1)
	if o.Silence == 0 {
		o.Silence = defaultSilence
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Log is the event log on one NATS connection. It is safe for concurrent use.
type Log struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	opts    Options
	courier courier
	missing chan struct{} // holds one element after a stream was found missing

	fromLog, fromStore atomic.Int64 // see Replays
}

var _ completion.Log = (*Log)(nil)

// New returns a Log on nc, which stays the caller's to close. It reports every fault in opts at once. Nothing is asked
// of the server yet.
func New(nc *nats.Conn, opts Options) (*Log, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("event log options: %w", err)
	}
	opts.fill()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	return &Log{nc: nc, js: js, opts: opts, courier: courier{nc: nc}, missing: make(chan struct{}, 1)}, nil
}

// Replays is how many of viewers' questions this process has answered from the log, and how many with an end that the
// log had lost and the store knew.
func (l *Log) Replays() (log, database int64) { return l.fromLog.Load(), l.fromStore.Load() }

// place is where a job's events are stored.
type place struct {
	stream  string
	subject string
}

func locate(ref completion.Ref) (place, error) {
	if !completion.ValidToken(ref.Tenant) || !completion.ValidToken(ref.Job) {
		return place{}, fmt.Errorf("tenant %q, job %q: %w", ref.Tenant, ref.Job, completion.ErrNotFound)
	}
	k := strconv.Itoa(shard(ref.Job))
	return place{stream: "C" + k, subject: "in." + k + "." + ref.Tenant + "." + ref.Job}, nil
}

// shard is the job's 32-bit FNV-1a hash modulo Shards.
func shard(job string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(job)) // a hash never fails
	return int(h.Sum32() % Shards)
}

// note remembers that a stream was missing, for ServeReplay to create it again.
func (l *Log) note() {
	select {
	case l.missing <- struct{}{}:
	default:
	}
}
