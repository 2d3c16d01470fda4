package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"sluice/shared/completion"
)

const (
	// checkInterval is asynq's sleep after an empty dequeue: none. The park does the waiting, and any sleep, however
	// short, would come after the wake-up and take a millisecond in a process that is otherwise idle.
	checkInterval = time.Nanosecond
	// forwardInterval is how often asynq looks for delayed tasks that are due, at 4 Redis commands each.
	forwardInterval = time.Second
	// serverSlots is how many tasks one asynq server runs at most: every five seconds it writes all of them anew, and
	// neither begins nor ends a task meanwhile. More slots have several servers.
	serverSlots = 1000
)

// Handler does the work of one task, in a context with the trace that the task was enqueued in. Its answer decides what becomes of the task: nil ends it, an *Again delivers it
// again after a time, ErrNotMine leaves it alone, and any other error, or a panic, delivers it again with backoff.
type Handler func(ctx context.Context, t completion.Task) error

// Config says which tasks a Server takes and how.
type Config struct {
	Lane    completion.Lane // required
	Slots   int             // tasks at the same time; required
	Handler Handler         // required

	// OnWake subscribes wake to the lane's wake-up, until stop is called. Nil: only polling, every MaxWait.
	OnWake func(wake func()) (stop func(), err error)

	MaxWait    time.Duration // look for tasks this often without a wake-up, at 3 Redis commands; 0: 2 s
	Grace      time.Duration // on stop, handlers keep their context for so long; 0: 20 s
	DrainLimit time.Duration // on stop, wait for handlers at most so long; 0: 30 s, or 10 s more than Grace

	Log *slog.Logger // nil: slog.Default()
}

const (
	leastDrain = 30 * time.Second
	handBack   = 10 * time.Second // what handlers have to end in once their context has
)

func (c *Config) complete() error {
	if c.MaxWait <= 0 {
		c.MaxWait = 2 * time.Second
	}
	if c.Grace <= 0 {
		c.Grace = 20 * time.Second
	}
	if c.DrainLimit <= 0 {
		c.DrainLimit = max(leastDrain, c.Grace+handBack)
	}
	if c.OnWake == nil {
		c.OnWake = func(func()) (func(), error) { return func() {}, nil }
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Log = c.Log.With("lane", c.Lane)
	var errs []error
	if !c.Lane.Valid() {
		errs = append(errs, fmt.Errorf("unknown lane %q", c.Lane))
	}
	if c.Slots < 1 {
		errs = append(errs, fmt.Errorf("%d slots", c.Slots))
	}
	if c.Handler == nil {
		errs = append(errs, errors.New("no handler"))
	}
	return errors.Join(errs...)
}

// Server takes the tasks of one lane. A worker runs one for each lane, each with a Redis client of its own, so that a
// full lane never holds up the other (I10).
type Server struct {
	rc  redis.UniversalClient
	cfg Config
}

// NewServer returns a server; Run starts it. The caller closes rc, after Run.
func NewServer(rc redis.UniversalClient, cfg Config) *Server {
	return &Server{rc: rc, cfg: cfg}
}

// Run takes tasks until ctx ends, then stops: it takes no more, lets the handlers finish for Grace, ends their context
// with ErrStopping, and returns nil when they are done. What still runs after DrainLimit goes back to the queue, while
// its handler may still be busy. An error means that Run never began; a Redis that is down is waited for.
func (s *Server) Run(ctx context.Context) error {
	if err := s.cfg.complete(); err != nil {
		return fmt.Errorf("run queue server: %w", err)
	}
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(ErrStopping)
	acks := newAcks(s.cfg.Log)
	w := &work{base: base, cfg: s.cfg, acks: acks, slots: make(chan struct{}, s.cfg.Slots)}
	all := make(parks, 0, s.cfg.Slots/serverSlots+1)
	for range shares(s.cfg.Slots) {
		all = append(all, newPark(s.cfg.MaxWait))
	}
	stopWake, err := s.cfg.OnWake(all.wake)
	if err != nil {
		return fmt.Errorf("subscribe to wake-ups of lane %s: %w", s.cfg.Lane, err)
	}
	defer stopWake()
	var servers []*asynq.Server
	for i, slots := range shares(s.cfg.Slots) {
		srv := s.asynq(&conn{UniversalClient: s.rc, keys: keysOf(s.cfg.Lane), park: all[i], all: all, acks: acks}, slots)
		if err = srv.Start(w); err != nil {
			err = fmt.Errorf("start queue server of lane %s: %w", s.cfg.Lane, err)
			break
		}
		servers = append(servers, srv)
	}
	if err == nil {
		<-ctx.Done()
	}
	s.stop(servers, all, w, cancel)
	return err
}

// shares spreads slots evenly over as few servers as may have them.
func shares(slots int) []int {
	servers := (slots + serverSlots - 1) / serverSlots
	list := make([]int, servers)
	for i := range list {
		list[i] = slots*(i+1)/servers - slots*i/servers
	}
	return list
}

func (s *Server) asynq(c *conn, slots int) *asynq.Server {
	return asynq.NewServerFromRedisClient(c, asynq.Config{
		Concurrency:              slots,
		Queues:                   map[string]int{string(s.cfg.Lane): 1},
		TaskCheckInterval:        checkInterval,
		DelayedTaskCheckInterval: forwardInterval,
		RetryDelayFunc:           delay,
		IsFailure:                counts,
		ShutdownTimeout:          s.cfg.DrainLimit,
		Logger:                   logger{s.cfg.Log},
		LogLevel:                 asynq.InfoLevel,
	})
}

// stop ends the servers in the order that loses nothing: no new tasks, then the handlers, then asynq's heartbeat, which
// keeps the leases of what still runs. Asynq's Shutdown waits for the handlers up to DrainLimit and then requeues.
func (s *Server) stop(servers []*asynq.Server, all parks, w *work, cancel context.CancelCauseFunc) {
	start := time.Now()
	all.close()
	grace := time.AfterFunc(min(s.cfg.Grace, s.cfg.DrainLimit), func() { cancel(ErrStopping) })
	defer grace.Stop()
	hurry := time.AfterFunc(s.cfg.DrainLimit, w.acks.close)
	defer hurry.Stop()
	var ending sync.WaitGroup
	for _, srv := range servers {
		ending.Go(srv.Shutdown)
	}
	ending.Wait()
	if left := w.drain(s.cfg.DrainLimit - time.Since(start)); left > 0 {
		s.cfg.Log.Warn("stopped while handlers were busy", "handlers", left)
	}
}
