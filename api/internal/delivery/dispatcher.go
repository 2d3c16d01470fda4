package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/store"
)

const (
	queueName = "webhooks"
	taskType  = "webhook:deliver"

	tick       = time.Second            // how often the store is asked for what is due
	breath     = 20 * time.Millisecond  // the least time between two questions
	hold       = time.Minute            // a delivery in the queue is handed out again after this
	margin     = 15 * time.Second       // and one that is being sent after this and the time-out
	page       = 200                    // notices taken in one transaction
	lateEvery  = time.Minute            // how often deliveries are looked for that were not taken in time
	maxWait    = 5 * time.Second        // how often the queue is asked without a wake-up: for what other processes put there
	grace      = 5 * time.Second        // a stopping process lets what it sends go on for so long
	taskLimit  = 2 * time.Minute        // far above what a task takes
	redelivery = 100 * time.Millisecond // after a crash asynq gives a task back, of which nothing is left to do
)

// share lets a tenant whose receivers hang leave half of a process' default slots to the others.
var share = store.Share{Webhook: 8, Tenant: 8, All: 100}

// Dispatcher is one process' part in the deliveries; New makes it, Run runs it.
type Dispatcher struct {
	store Store
	cfg   Config
	http  *http.Client
	log   *slog.Logger
	rc    *queue.Parked
	tasks *asynq.Client

	freed   chan struct{} // one slot: something was sent, so that more may be handed out
	looked  time.Time     // when late deliveries were looked for
	failing bool          // the latest round failed
}

// New returns a Dispatcher whose queue is on rc, which the caller closes after Run.
func New(s Store, rc redis.UniversalClient, c Config, log *slog.Logger) *Dispatcher {
	log = log.With("part", "webhooks")
	parked := queue.NewParked(rc, maxWait, log)
	return &Dispatcher{
		store: s, cfg: c, http: newClient(c.AllowPrivate()), log: log, rc: parked,
		tasks: asynq.NewClientFromRedisClient(parked), freed: make(chan struct{}, 1),
	}
}

// Run sends until ctx ends and then returns nil; what is being sent by then may go on for some seconds. Outages are waited
// for and logged, once when they begin and once when they end.
func (d *Dispatcher) Run(ctx context.Context) error {
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errStopping)
	defer d.http.CloseIdleConnections()
	server := asynq.NewServerFromRedisClient(d.rc, d.rc.Configure(asynq.Config{
		Concurrency: d.cfg.Slots, Queues: map[string]int{queueName: 1}, DelayedTaskCheckInterval: time.Minute, JanitorInterval: time.Hour,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return redelivery }, ShutdownTimeout: taskLimit,
	}))
	err := server.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error { return d.deliver(base, t) }))
	if err != nil {
		return fmt.Errorf("start the queue server of webhooks: %w", err)
	}
	for ctx.Err() == nil {
		d.note(ctx, d.round(ctx))
		d.wait(ctx)
	}
	d.rc.Stop()
	defer time.AfterFunc(grace, func() { cancel(errStopping) }).Stop()
	server.Shutdown()
	return nil
}

// wait returns after a tick, or soon after something was sent.
func (d *Dispatcher) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(tick*3/4 + rand.N(tick/2)):
	case <-d.freed:
		select {
		case <-ctx.Done():
		case <-time.After(breath):
		}
	}
}

// note learns how a round ended.
func (d *Dispatcher) note(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !d.failing:
		d.log.Warn("webhooks wait for an outage to end", "error", err)
	case err == nil && d.failing:
		d.log.Info("webhooks go on, the outage has ended")
	}
	d.failing = err != nil
}

// round makes deliveries of what has happened, and puts those that are due on the queue.
func (d *Dispatcher) round(ctx context.Context) error {
	for taken := page; taken == page; {
		var err error
		if taken, err = d.store.FanOut(ctx, time.Now(), page); err != nil {
			return err
		}
	}
	now := time.Now()
	due, err := d.store.HandOut(ctx, now, now.Add(hold), share)
	if err != nil {
		return err
	}
	for i := range due {
		if err := d.enqueue(ctx, &due[i], now); err != nil {
			return err // the others are handed out again
		}
	}
	if len(due) > 0 {
		d.rc.Wake()
	}
	return d.giveUp(ctx, now)
}

func (d *Dispatcher) giveUp(ctx context.Context, now time.Time) error {
	if now.Sub(d.looked) < lateEvery {
		return nil
	}
	d.looked = now
	return d.store.GiveUpDeliveries(ctx, now)
}

// note is what a task carries.
type note struct {
	Tenant   string `json:"tenant"`
	Webhook  string `json:"webhook"`
	Delivery string `json:"delivery"`
	After    int    `json:"after"` // attempts that were made before
}

func (d *Dispatcher) enqueue(ctx context.Context, due *completion.Delivery, now time.Time) error {
	payload, err := json.Marshal(note{due.Tenant, due.Webhook, due.ID, due.Attempts})
	if err != nil {
		return fmt.Errorf("encode the task of delivery %s: %w", due.ID, err)
	}
	_, err = d.tasks.EnqueueContext(ctx, asynq.NewTask(taskType, payload), asynq.Queue(queueName),
		asynq.TaskID(due.ID+"."+strconv.FormatInt(now.Unix(), 10)), asynq.Timeout(taskLimit))
	if err != nil {
		return fmt.Errorf("enqueue delivery %s: %w", due.ID, err)
	}
	return nil
}

// deliver is the handler of a task. It leaves a delivery that it cannot see to: it is handed out again.
func (d *Dispatcher) deliver(ctx context.Context, t *asynq.Task) error {
	defer d.free()
	var n note
	if err := json.Unmarshal(t.Payload(), &n); err != nil {
		return fmt.Errorf("decode task: %w: %w", err, asynq.SkipRetry)
	}
	if err := d.attempt(ctx, n); err != nil {
		d.log.Warn("delivery left for later", "tenant", n.Tenant, "delivery_id", n.Delivery, "error", err)
	}
	return nil
}

// free lets the next round come soon: the webhook's or the tenant's turn has passed on.
func (d *Dispatcher) free() {
	select {
	case d.freed <- struct{}{}:
	default:
	}
}
