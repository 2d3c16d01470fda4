// Package worker is the public seam of the worker: its command, the all-in-one program and the tests that run it use
// nothing else.
//
// A worker takes jobs from the lanes it has slots for, has the upstream generate, streams and stores what comes. Any
// number of processes may run side by side; each lane scales by itself.
package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/service"
	"sluice/worker/internal/gauge"
	"sluice/worker/internal/generate"
	"sluice/worker/internal/listing"
	"sluice/worker/internal/meter"
	"sluice/worker/internal/tally"
	"sluice/worker/internal/throttle"
	"sluice/worker/internal/upstream"
)

// Config of a worker process.
type Config struct {
	InteractiveSlots    int `env:"SLUICE_INTERACTIVE_SLOTS" default:"64" help:"Interactive jobs that run at once; 0 leaves the lane to other workers. At most 10000."`
	BatchSlots          int `env:"SLUICE_BATCH_SLOTS" default:"64" help:"Batch jobs that run at once; 0 leaves the lane to other workers. At most 10000."`
	InteractiveAttempts int `env:"SLUICE_INTERACTIVE_ATTEMPTS" default:"4" help:"Tries of an interactive job before it fails."`
	BatchAttempts       int `env:"SLUICE_BATCH_ATTEMPTS" default:"8" help:"Tries of a batch job before it fails. What the upstream refuses for its rate is not counted if the job has a deadline."`

	RetryBase       time.Duration `env:"SLUICE_RETRY_BASE" default:"1s" help:"Pause after the first failed try; it doubles with each further one."`
	RetryMax        time.Duration `env:"SLUICE_RETRY_MAX" default:"1m" help:"Longest pause between tries, unless the upstream asks for more."`
	GenerationLimit time.Duration `env:"SLUICE_GENERATION_LIMIT" default:"30m" help:"Longest a single generation may take."`
	PublishLimit    time.Duration `env:"SLUICE_PUBLISH_LIMIT" default:"1m" help:"Longest wait for the event log once the answer is stored."`
	DrainLimit      time.Duration `env:"SLUICE_DRAIN_LIMIT" default:"20s" help:"Longest a stopping worker lets running jobs go on before it hands them back."`

	UpstreamName      string        `env:"SLUICE_UPSTREAM_NAME" default:"default" help:"Name of the upstream that clients see."`
	UpstreamURL       string        `name:"upstream-url" env:"OPENAI_BASE_URL" default:"https://api.openai.com/v1" help:"Base address of the OpenAI-compatible upstream."`
	UpstreamKey       string        `env:"OPENAI_API_KEY" secret:"" help:"API key of the upstream; never on the command line."`
	UpstreamIdle      time.Duration `env:"SLUICE_UPSTREAM_IDLE" default:"60s" help:"An upstream stream without a chunk for this long is dead."`
	UpstreamHeader    time.Duration `env:"SLUICE_UPSTREAM_HEADER" default:"2m" help:"Longest wait for the upstream to begin its answer."`
	UpstreamBytes     int64         `env:"SLUICE_UPSTREAM_BYTES" default:"67108864" help:"Largest answer that is accepted, in bytes of the upstream's stream."`
	UpstreamResponses string        `env:"SLUICE_UPSTREAM_RESPONSES" default:"mapped" enum:"mapped,native" help:"How the upstream is asked for /v1/responses: mapped to chat completions that mean the same, or native for one that speaks Responses itself, hosted tools included."`
	ModelsInterval    time.Duration `env:"SLUICE_MODELS_INTERVAL" default:"5m" help:"Pause between asking the upstream which models it serves, for GET /v1/models; 0 never asks."`
}

// NativeResponses is the UpstreamResponses of an upstream that speaks Responses itself.
const NativeResponses = "native"

// maxSlots is how many streams one process has been measured with.
const maxSlots = 10_000

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	var err error
	for name, n := range map[string]int{"interactive slots": c.InteractiveSlots, "batch slots": c.BatchSlots} {
		if n < 0 || n > maxSlots {
			err = errors.Join(err, fmt.Errorf("%s %d: want 0 to %d", name, n, maxSlots))
		}
	}
	if c.InteractiveSlots == 0 && c.BatchSlots == 0 {
		err = errors.Join(err, errors.New("slots: both lanes are 0, this worker would do nothing"))
	}
	for name, n := range map[string]int{"interactive attempts": c.InteractiveAttempts, "batch attempts": c.BatchAttempts} {
		if n < 1 {
			err = errors.Join(err, fmt.Errorf("%s %d: want 1 or more", name, n))
		}
	}
	for name, d := range map[string]time.Duration{
		"retry base": c.RetryBase, "retry max": c.RetryMax, "generation limit": c.GenerationLimit, "publish limit": c.PublishLimit,
		"drain limit": c.DrainLimit, "upstream idle": c.UpstreamIdle, "upstream header": c.UpstreamHeader,
	} {
		if d <= 0 {
			err = errors.Join(err, fmt.Errorf("%s %s: want more than 0", name, d))
		}
	}
	if c.ModelsInterval < 0 {
		err = errors.Join(err, fmt.Errorf("models interval %s: want 0 or more", c.ModelsInterval))
	}
	if c.UpstreamBytes <= 0 {
		err = errors.Join(err, fmt.Errorf("upstream bytes %d: want more than 0", c.UpstreamBytes))
	}
	return err
}

// Worker runs jobs.
type Worker struct {
	name     string
	config   Config
	back     *backend.Backend
	upstream *upstream.Upstream
	watched  *gauge.Upstream // upstream, with its calls counted
	lanes    []lane          // those with slots
	throttle *throttle.Throttle
	tally    *tally.Tally
	gauge    *gauge.Gauge
	meter    *meter.Meter
	log      *slog.Logger

	startedAt time.Time
	taking    atomic.Bool
	draining  atomic.Bool
}

// New returns a worker that takes jobs once it runs.
func New(c Config, back *backend.Backend, log *slog.Logger) (*Worker, error) {
	up, err := upstream.New(upstream.Config{
		Name: c.UpstreamName, BaseURL: c.UpstreamURL, APIKey: c.UpstreamKey, IdleLimit: c.UpstreamIdle,
		HeaderLimit: c.UpstreamHeader, MaxAnswerBytes: c.UpstreamBytes, Native: c.UpstreamResponses == NativeResponses,
	})
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	w := &Worker{name: name(), config: c, back: back, upstream: up, tally: tally.New(back.Bell.Batch), gauge: gauge.New(), log: log, startedAt: time.Now()}
	w.watched = w.gauge.Watch(up)
	backoff := generate.Backoff{Base: c.RetryBase, Max: c.RetryMax}
	w.throttle = throttle.New(max(c.BatchSlots, 1), func(n int) time.Duration { return backoff.After(n, &completion.Error{}) })
	w.meter = w.newMeter(c)
	options := generate.Options{
		Worker: w.name, Attempts: c.InteractiveAttempts, Backoff: backoff, GenerationLimit: c.GenerationLimit, PublishLimit: c.PublishLimit,
		Throttle: throttle.Beside{Throttle: w.throttle}, Claimed: w.meter.Claimed, Ended: w.ended, Retried: w.retried, Lost: w.meter.Lost,
	}
	// Each lane has statements of its own, one of each kind under way: the other finds connections to the database (I10).
	w.add(completion.LaneInteractive, c.InteractiveSlots, back.Store.Group(), options)
	options.Attempts, options.Throttle = c.BatchAttempts, w.throttle
	w.add(completion.LaneBatch, c.BatchSlots, back.Store.Group(), options)
	return w, nil
}

// lane is one lane of a worker. Each has a generator of its own, so that what one waits for does not hold up the other
// (I10).
type lane struct {
	name      completion.Lane
	slots     int
	generator *generate.Generator
}

func (w *Worker) add(name completion.Lane, slots int, store generate.Store, o generate.Options) {
	if slots > 0 {
		w.lanes = append(w.lanes, lane{name, slots, generate.New(store, w.meter.Log(w.back.Log), w.meter.Upstream(w.watched, name), o, w.log)})
	}
}

// cancel ends the job if it runs here.
func (w *Worker) cancel(ref completion.Ref) {
	for _, l := range w.lanes {
		l.generator.Cancel(ref)
	}
}

// running is how many jobs run here now.
func (w *Worker) running() (n int) {
	for _, l := range w.lanes {
		n += l.generator.Running()
	}
	return n
}

// host is the machine's name.
func host() string {
	name, err := os.Hostname()
	if err != nil {
		return "worker"
	}
	return name
}

// name tells workers apart: the host's name, for people, and some random letters.
func name() string { return host() + "-" + strings.ToLower(rand.Text()[:8]) }

// Run takes and runs jobs until ctx ends; then it takes no more, lets those that run finish within the drain limit, and
// hands the others back.
func (w *Worker) Run(ctx context.Context) error {
	stop, err := w.back.Bell.OnCancel(w.cancel)
	if err != nil {
		return fmt.Errorf("listen for cancels: %w", err)
	}
	defer stop()
	defer w.upstream.Close()
	defer w.tally.Flush()
	defer context.AfterFunc(ctx, w.drain)()
	w.sayAlive(ctx) // before the first job is claimed
	runners := []service.Runner{
		{Name: "heartbeat", Run: w.beat},
		{Name: "cancels", Run: w.cancels},
		{Name: "sweeper", Run: w.back.Sweeper(w.log).Run},
	}
	if w.config.ModelsInterval > 0 {
		runners = append(runners, service.Runner{Name: "models", Run: listing.New(w.upstream, w.back.Store, w.config.ModelsInterval, w.log).Run})
	}
	for _, l := range w.lanes {
		client, err := w.back.Redis(l.slots)
		if err != nil {
			return fmt.Errorf("connect %s lane to Redis: %w", l.name, err)
		}
		defer client.Close()
		server := queue.NewServer(client, queue.Config{
			Lane: l.name, Slots: l.slots, Handler: w.traced(l.generator.Handle), Grace: w.config.DrainLimit, Log: w.log,
			OnWake: func(wake func()) (func(), error) { return w.back.Bell.OnWake(l.name, wake) },
		})
		runners = append(runners, service.Runner{Name: string(l.name) + " lane", Run: server.Run})
	}
	w.taking.Store(true)
	w.log.Info("worker ready", "worker", w.name, "interactive_slots", w.config.InteractiveSlots, "batch_slots", w.config.BatchSlots)
	return service.Run(ctx, runners...)
}

// Ready reports whether the worker takes jobs: it runs, is not told to stop, and the servers that it needs answer. The
// error says why it does not.
func (w *Worker) Ready(ctx context.Context) error {
	switch {
	case w.draining.Load():
		return errors.New("the worker drains")
	case !w.taking.Load():
		return errors.New("the worker is starting")
	}
	return w.back.Ready(ctx)
}

// beat says four times per WorkerTTL that this worker lives, which keeps its jobs its own. On a clean stop the worker
// leaves, which frees what it could not hand back.
func (w *Worker) beat(ctx context.Context) error {
	tick := time.NewTicker(w.back.WorkerTTL / 4)
	defer tick.Stop()
	for {
		w.sayAlive(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return w.leave(ctx)
		}
	}
}

// cancelInterval is how often a worker that runs jobs looks for cancels whose ring got lost (I9).
const cancelInterval = 500 * time.Millisecond

func (w *Worker) cancels(ctx context.Context) error {
	tick := time.NewTicker(cancelInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if w.running() == 0 {
			continue
		}
		refs, err := w.back.Store.CancelRequests(ctx, w.name)
		if err != nil && ctx.Err() == nil {
			w.log.Error("cancels not read", "worker", w.name, "error", err)
		}
		for _, ref := range refs {
			w.cancel(ref)
		}
	}
}

func (w *Worker) sayAlive(ctx context.Context) {
	if err := w.back.Store.Beat(ctx, w.name, w.status(), time.Now()); err != nil && ctx.Err() == nil {
		w.log.Error("heartbeat not stored", "worker", w.name, "error", err)
	}
}

func (w *Worker) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := w.back.Store.Leave(ctx, w.name); err != nil {
		w.log.Warn("worker not signed off, its jobs are free when its heartbeat is old", "worker", w.name, "error", err)
	}
	return nil
}
