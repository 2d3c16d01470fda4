// Package sweeper keeps the queue complete (I1): the store is the truth, and what the store has and the queue does not
// know is enqueued again; tasks of dead workers are given back; and queued jobs whose deadline has passed end as expired.
// It may run in any number of processes: each does the same work, and the queue and the store refuse what is done already.
package sweeper

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"sluice/shared/completion"
	"sluice/shared/salvage"
)

// Store ends jobs, and finds unfinished jobs that somebody should be working on, up to limit in the order of their ids, all above after.
type Store interface {
	salvage.Store
	// Orphans returns queued jobs that have not changed since before.
	Orphans(ctx context.Context, before, now time.Time, after string, limit int) ([]completion.Job, error)
	// Abandoned returns running jobs whose worker was last seen alive too long before now.
	Abandoned(ctx context.Context, now time.Time, after string, limit int) ([]completion.Job, error)
	// Expire ends queued jobs whose deadline has passed, and returns them.
	Expire(ctx context.Context, now time.Time, limit int) ([]completion.Job, error)
}

// Queue is what the sweeper needs of queue.Client.
type Queue interface {
	EnqueueAll(ctx context.Context, tasks []completion.Task) []error
	Revive(ctx context.Context, lane completion.Lane, deadAfter time.Duration) (int, error)
	Reclaim(ctx context.Context, lane completion.Lane, jobs []completion.Ref) (int, error)
	Forget(ctx context.Context, t completion.Task) error
	Fresh(ctx context.Context) (bool, error)
}

// Config has the sweeper's times; the zero value means the defaults.
type Config struct {
	Tick      time.Duration // look after the queue this often, with a jitter of a quarter; 0: 2 s
	Interval  time.Duration // look into the store this often; 0: 5 s
	Grace     time.Duration // leave a queued job to whoever changed it last for so long; 0: 10 s
	DeadAfter time.Duration // a server without a heartbeat for so long is dead; 0: 12 s
	WorkerTTL time.Duration // after an outage of the store, believe no worker dead for so long; 0: 8 s
	Budget    int           // jobs that the queue knows, to look at in one go; 0: 2,000

	Found func(what Find, n int) // learns of what was mended; nil: nobody does
}

// Find is what a sweeper mends.
type Find string

// The finds.
const (
	Unknown   Find = "unknown"   // queued jobs that the queue did not know
	Abandoned Find = "abandoned" // jobs of dead workers, given to others
	Revived   Find = "revived"   // tasks of dead workers, given back to the queue
	Expired   Find = "expired"   // queued jobs whose deadline has passed
	Ended     Find = "ended"     // jobs of dead workers that shall not run again
)

// Finds are all of them.
var Finds = []Find{Unknown, Abandoned, Revived, Expired, Ended}

const pageSize = 500

func (c *Config) complete() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&c.Tick, 2 * time.Second}, {&c.Interval, 5 * time.Second}, {&c.Grace, 10 * time.Second}, {&c.DeadAfter, 12 * time.Second}, {&c.WorkerTTL, 8 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.Budget <= 0 {
		c.Budget = 2000
	}
	if c.Found == nil {
		c.Found = func(Find, int) {}
	}
}

// Sweeper is one process' sweeper; New makes it, Run runs it.
type Sweeper struct {
	store  Store
	queue  Queue
	events salvage.Log
	cfg    Config
	log    *slog.Logger

	whole  bool      // the next sweep covers all jobs, young ones too
	due    time.Time // when the next sweep is
	cursor string    // where the next sweep goes on; empty: at the start

	queueSide health
	storeSide health
}

// New returns a sweeper. A nil log means slog.Default().
func New(store Store, queue Queue, events salvage.Log, cfg Config, log *slog.Logger) *Sweeper {
	cfg.complete()
	if log == nil {
		log = slog.Default()
	}
	return &Sweeper{
		store: store, queue: queue, events: events, cfg: cfg, log: log, whole: true,
		queueSide: health{log: log.With("side", "queue"), window: cfg.DeadAfter},
		// A new sweeper does not know whether an outage has just ended, in which nobody could show that it lives.
		storeSide: health{log: log.With("side", "store"), window: cfg.WorkerTTL, wellSince: time.Now(), wellUntil: time.Unix(0, 0)},
	}
}

// Run sweeps until ctx ends, and then returns nil. Outages are waited for and logged, once when they begin and once when
// they end.
func (s *Sweeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		s.tick(ctx)
		jitter := rand.N(s.cfg.Tick/2) - s.cfg.Tick/4
		select {
		case <-ctx.Done():
		case <-time.After(s.cfg.Tick + jitter):
		}
	}
	return nil
}

func (s *Sweeper) tick(ctx context.Context) {
	s.expire(ctx)
	now := time.Now()
	err := s.mend(ctx)
	s.queueSide.note(ctx, now, err)
	if err != nil {
		return
	}
	s.takeBack(ctx)
	if !s.whole && time.Now().Before(s.due) {
		return
	}
	s.sweep(ctx)
	s.due = time.Now().Add(s.cfg.Interval)
}

// mend looks after the queue itself. After an outage of the queue the servers get some time to show that they live.
func (s *Sweeper) mend(ctx context.Context) error {
	fresh, err := s.queue.Fresh(ctx)
	if err != nil {
		return err
	}
	if fresh {
		s.whole = true
		s.log.Info("the queue is empty or has lost data, all unfinished jobs are looked up")
	}
	if !s.queueSide.steady() {
		return nil
	}
	for _, lane := range completion.Lanes {
		n, err := s.queue.Revive(ctx, lane, s.cfg.DeadAfter)
		if n > 0 {
			s.cfg.Found(Revived, n)
			s.log.Info("tasks of dead workers were given back", "lane", lane, "tasks", n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep pages through the orphans from where the last sweep ended. Pages in which the queue knew every job use up the
// budget, so that a long backlog is looked at bit by bit; pages with finds do not, so that a loss is repaired in one go.
// A whole sweep has no budget.
func (s *Sweeper) sweep(ctx context.Context) {
	whole, found, budget := s.whole, 0, s.cfg.Budget
	if whole {
		s.cursor = ""
	}
	for {
		jobs, err := s.orphans(ctx, whole)
		if err != nil {
			break
		}
		now := time.Now()
		n, err := s.enqueue(ctx, jobs)
		found += n
		if err != nil {
			s.queueSide.note(ctx, now, err)
			break
		}
		if len(jobs) < pageSize {
			s.cursor, s.whole = "", false
			break
		}
		s.cursor = jobs[len(jobs)-1].ID
		if n == 0 && !whole {
			if budget -= len(jobs); budget <= 0 {
				break
			}
		}
	}
	if found > 0 {
		s.cfg.Found(Unknown, found)
		s.log.Info("jobs that the queue did not know were enqueued", "jobs", found, "whole", whole)
	}
}

func (s *Sweeper) orphans(ctx context.Context, whole bool) ([]completion.Job, error) {
	now := time.Now()
	before := now.Add(-s.cfg.Grace)
	if whole {
		before = now
	}
	jobs, err := s.store.Orphans(ctx, before, now, s.cursor, pageSize)
	s.storeSide.note(ctx, now, err)
	return jobs, err
}

// takeBack gives the jobs of dead workers to others. Workers show that they live in the store, so while the store is
// out they cannot; until they had time to do it again, they are judged as of the last moment at which the store was well.
func (s *Sweeper) takeBack(ctx context.Context) {
	judged, after, found := time.Now(), "", 0
	if !s.storeSide.steady() {
		judged = s.storeSide.wellUntil
	}
	for {
		now := time.Now()
		jobs, err := s.store.Abandoned(ctx, judged, after, pageSize)
		s.storeSide.note(ctx, now, err)
		if err != nil || len(jobs) == 0 {
			break
		}
		n, err := s.reclaim(ctx, s.end(ctx, jobs))
		found += n
		if err != nil {
			s.queueSide.note(ctx, now, err)
			break
		}
		after = jobs[len(jobs)-1].ID
	}
	if found > 0 {
		s.cfg.Found(Abandoned, found)
		s.log.Info("jobs of dead workers were given to others", "jobs", found)
	}
}

func (s *Sweeper) reclaim(ctx context.Context, jobs []completion.Job) (found int, err error) {
	for _, lane := range completion.Lanes {
		var refs []completion.Ref
		for i := range jobs {
			if jobs[i].Lane == lane {
				refs = append(refs, jobs[i].Ref())
			}
		}
		n, err := s.queue.Reclaim(ctx, lane, refs)
		if found += n; err != nil {
			return found, err
		}
	}
	n, err := s.enqueue(ctx, jobs) // those of which the queue knows nothing
	return found + n, err
}

// enqueue returns how many of the jobs the queue did not know.
func (s *Sweeper) enqueue(ctx context.Context, jobs []completion.Job) (found int, err error) {
	tasks := make([]completion.Task, len(jobs))
	for i := range jobs {
		tasks[i] = jobs[i].Task()
	}
	for i, e := range s.queue.EnqueueAll(ctx, tasks) {
		switch {
		case e == nil:
			found++
		case errors.Is(e, completion.ErrKnown):
		case completion.AsError(e).Code == completion.CodeUnavailable:
			err = e
		default: // one bad row must not keep the others out
			s.log.Error("a job cannot be enqueued", "tenant", jobs[i].Tenant, "job_id", jobs[i].ID, "error", e)
		}
	}
	return found, err
}
