// Package generate runs one attempt of a job: it claims the job, has the upstream generate, publishes what it says
// while it arrives, stores the result, and says what becomes of the task.
//
// It promises I2 (a finished generation is stored, however long that takes, before anything else), I5 (an attempt that
// lost the job neither publishes nor stores: the log and the store refuse it) and I6 (the final event follows the
// stored result). It leaves to others when a task is delivered (queue), what an upstream's answer means (upstream), and
// the repair of logs whose worker died before the final event (eventlog).
package generate

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"time"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// Store is what an attempt needs of the store.
type Store interface {
	Claim(ctx context.Context, ref completion.Ref, worker string, at time.Time) (completion.Job, error)
	Retry(ctx context.Context, ref completion.Ref, attempt int, r completion.Retry) error
	Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error)
}

// Log is what an attempt needs of the event log.
type Log interface {
	completion.Log
	Seal(ctx context.Context, job completion.Job) error
}

// Upstream generates. The sequence yields the upstream's chunks and ends without an error only if the answer is whole;
// its errors are of type *completion.Error, or carry the cause that ended ctx.
type Upstream interface {
	Name() string
	Stream(ctx context.Context, request json.RawMessage) iter.Seq2[json.RawMessage, error]
}

// Options of a Generator. All are required.
type Options struct {
	Worker          string                  // this process's name in the store, unique
	Attempts        map[completion.Lane]int // tries that may fail before the job does
	Backoff         Backoff                 // pause between tries
	GenerationLimit time.Duration           // longest a single attempt may take
	PublishLimit    time.Duration           // longest wait for the log after the answer is stored, before giving up on it
}

// Generator runs attempts; any number at once.
type Generator struct {
	store    Store
	log      Log
	upstream Upstream
	opts     Options
	logger   *slog.Logger
	running  running
}

// New returns a Generator.
func New(s Store, l Log, u Upstream, o Options, logger *slog.Logger) *Generator {
	return &Generator{store: s, log: l, upstream: u, opts: o, logger: logger}
}

// Causes that end an attempt early; they travel in its context.
var (
	errCancelled = errors.New("cancelled by request")
	errTooLong   = errors.New("generation limit reached")
)

// heldDelay is how long a task waits that was delivered while a live worker runs its job.
const heldDelay = 5 * time.Second

// Cancel ends the attempt of ref as cancelled, if it runs here (I9).
func (g *Generator) Cancel(ref completion.Ref) { g.running.stop(ref, errCancelled) }

// Running is how many attempts run now.
func (g *Generator) Running() int { return g.running.count() }

// Handle is the queue's handler: it runs one attempt of the task's job. Its answers are the queue's: nil when the task
// is done with, *queue.Again when it shall come back, queue.ErrNotMine when another worker has the job.
func (g *Generator) Handle(ctx context.Context, task completion.Task) error {
	attempt, end, ok := g.running.begin(ctx, task.Ref)
	if !ok {
		return &queue.Again{After: heldDelay}
	}
	defer end()
	job, err := g.store.Claim(ctx, task.Ref, g.opts.Worker, time.Now())
	switch {
	case err == nil:
		return g.attempt(attempt, job)
	case errors.Is(err, completion.ErrFinal):
		return g.seal(ctx, job)
	case errors.Is(err, completion.ErrNotFound):
		g.logger.Warn("task of an unknown job dropped", "job_id", task.Ref.Job)
		return nil
	case errors.Is(err, completion.ErrHeld):
		return &queue.Again{After: heldDelay}
	default:
		g.logger.Error("claim failed, the task comes back", "job_id", task.Ref.Job, "error", err)
		return &queue.Again{After: heldDelay}
	}
}

// seal closes the log of a job that is final already; its worker died before it could, or it was cancelled in the queue.
func (g *Generator) seal(ctx context.Context, job completion.Job) error {
	ctx, cancel := context.WithTimeout(ctx, g.opts.PublishLimit)
	defer cancel()
	if err := g.log.Seal(ctx, job); err != nil {
		g.logger.Warn("final event not published, the first viewer to ask repairs it", "job_id", job.ID, "error", err)
	}
	return nil
}

// attempt generates and ends in whichever way the context's cause or the upstream's error say.
func (g *Generator) attempt(ctx context.Context, job completion.Job) error {
	if job.CancelRequested {
		g.Cancel(job.Ref())
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := newSpeech(g.log, job.Ref(), completion.Event{
		Type: completion.EventStarted, Attempt: job.Attempt, At: time.Now(), Model: job.Model, Upstream: g.upstream.Name(),
	})
	speaking, hush := context.WithCancelCause(context.WithoutCancel(ctx)) // what was generated is published even after a cancel
	defer hush(nil)
	go s.run(speaking, stop)
	err := g.generate(ctx, job, s)
	s.end()
	if err == nil {
		err = context.Cause(ctx) // a cancel or a take-over that came with the last chunk
		if errors.Is(err, queue.ErrStopping) {
			err = nil // the answer is whole
		}
	}
	result := g.conclude(ctx, job, s, err)
	hush(errors.New("attempt is over"))
	<-s.done
	return result
}

func (g *Generator) generate(ctx context.Context, job completion.Job, s *speech) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.opts.GenerationLimit, errTooLong)
	defer cancel()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for chunk, err := range g.upstream.Stream(ctx, job.Request) {
		if err == nil {
			err = s.add(chunk)
			if errors.Is(err, errChunkShape) {
				err = completion.NewError(completion.CodeUpstreamGarbage, "").Because(err)
			}
		}
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// conclude stores how the attempt ended, tells the viewers, and answers the queue.
func (g *Generator) conclude(ctx context.Context, job completion.Job, s *speech, err error) error {
	switch {
	case err == nil:
		return g.finish(ctx, job, s, completion.Completed, nil)
	case errors.Is(err, completion.ErrStale), errors.Is(err, completion.ErrFinal):
		g.logger.Info("job taken over by a later attempt", "job_id", job.ID, "attempt", job.Attempt)
		return queue.ErrNotMine
	case errors.Is(err, errCancelled):
		return g.finish(ctx, job, s, completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	case errors.Is(err, errTooLong):
		return g.finish(ctx, job, s, completion.Failed, completion.NewError(completion.CodeTimeout, "").Because(err))
	case errors.Is(err, queue.ErrStopping):
		return g.retry(ctx, job, s, completion.NewError(completion.CodeDraining, ""), false)
	}
	failure := completion.AsError(err)
	if failure.Retryable && job.Tries+1 < g.opts.Attempts[job.Lane] {
		return g.retry(ctx, job, s, failure, true)
	}
	return g.finish(ctx, job, s, completion.Failed, failure)
}

// finish stores the final state and then publishes the final event (I6).
func (g *Generator) finish(ctx context.Context, job completion.Job, s *speech, state completion.State, failure *completion.Error) error {
	if err := s.flush(ctx); err != nil {
		return g.refused(job, err)
	}
	outcome := s.outcome(state, failure)
	if len(outcome.Usage) == 0 && state != completion.Completed {
		outcome.Usage = s.estimate(job.Request)
	}
	var stored completion.Job
	err := g.persist(ctx, job, func(ctx context.Context) (err error) {
		stored, err = g.store.Finish(ctx, job.Ref(), job.Attempt, outcome)
		return err
	})
	if errors.Is(err, completion.ErrFinal) {
		return g.seal(ctx, stored) // somebody else ended it, and may not have got to close the log
	}
	if err != nil {
		return g.refused(job, err)
	}
	g.note(stored, failure)
	return g.announce(ctx, s, stored.FinalEvent())
}

// retry stores that another attempt follows, tells the viewers, and asks the queue for it.
func (g *Generator) retry(ctx context.Context, job completion.Job, s *speech, failure *completion.Error, counted bool) error {
	var delay time.Duration
	if counted {
		delay = g.opts.Backoff.After(job.Tries+1, failure)
	}
	r := completion.Retry{Outcome: s.outcome(completion.Queued, failure), Counted: counted}
	r.RetryAt = r.At.Add(delay)
	err := g.persist(ctx, job, func(ctx context.Context) error {
		return g.store.Retry(ctx, job.Ref(), job.Attempt, r)
	})
	switch {
	case errors.Is(err, completion.ErrCancelled):
		return g.finish(ctx, job, s, completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	case err != nil:
		return g.refused(job, err)
	}
	g.logger.Warn("attempt failed, another follows", "job_id", job.ID, "attempt", job.Attempt, "after", delay, "error", failure)
	e := completion.Event{Type: completion.EventRetrying, Attempt: job.Attempt, At: r.At, Error: failure, RetryAt: &r.RetryAt}
	if err := g.announce(ctx, s, e); err != nil {
		return err
	}
	return &queue.Again{After: delay}
}

// persistGrace is how long a stopping worker still tries to store what it has.
const persistGrace = 10 * time.Second

// persist runs write until the store takes it or refuses it for good: a database that is down is waited for (I2), but
// not longer than persistGrace once the worker is told to stop.
func (g *Generator) persist(ctx context.Context, job completion.Job, write func(context.Context) error) error {
	bounded, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), queue.ErrStopping) {
			time.AfterFunc(persistGrace, cancel)
		}
	})()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := write(bounded)
		if err == nil || !transient(err) {
			return err
		}
		g.logger.Error("store is away, the result is kept and tried again", "job_id", job.ID, "attempt", job.Attempt, "error", err)
		if pause(bounded, wait) != nil {
			return err
		}
	}
}

// transient reports whether a write may succeed later: all but the domain's own refusals.
func transient(err error) bool {
	for _, no := range []error{completion.ErrStale, completion.ErrFinal, completion.ErrNotFound, completion.ErrCancelled} {
		if errors.Is(err, no) {
			return false
		}
	}
	return true
}

// refused answers the queue when the store did not take an attempt's end.
func (g *Generator) refused(job completion.Job, err error) error {
	if transient(err) {
		g.logger.Error("result not stored before the worker stopped", "job_id", job.ID, "attempt", job.Attempt, "error", err)
		return &queue.Again{}
	}
	g.logger.Info("attempt was not the job's latest any more", "job_id", job.ID, "attempt", job.Attempt, "error", err)
	if errors.Is(err, completion.ErrStale) {
		return queue.ErrNotMine
	}
	return nil
}

// announce publishes e once all chunks before it are out. A log that stays away for PublishLimit is given up on: the
// store has what happened, and the log is repaired from it when a viewer asks.
func (g *Generator) announce(ctx context.Context, s *speech, e completion.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opts.PublishLimit)
	defer cancel()
	err := s.wait(ctx)
	if err == nil {
		err = s.say(ctx, e)
	}
	switch {
	case errors.Is(err, completion.ErrStale):
		return queue.ErrNotMine
	case err != nil && !errors.Is(err, completion.ErrFinal):
		g.logger.Warn("event not published, the first viewer to ask repairs it", "job_id", s.ref.Job, "type", e.Type, "error", err)
	}
	return nil
}

func (g *Generator) note(job completion.Job, failure *completion.Error) {
	attrs := []any{"job_id", job.ID, "tenant", job.Tenant, "state", job.State, "attempt", job.Attempt, "took", job.FinishedAt.Sub(job.CreatedAt)}
	if failure != nil && job.State == completion.Failed {
		g.logger.Warn("job failed", append(attrs, "error", failure)...)
		return
	}
	g.logger.Debug("job finished", attrs...)
}
