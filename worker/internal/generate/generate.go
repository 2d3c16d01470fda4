// Package generate runs one attempt of a job: it claims the job, has the upstream generate, publishes what it says
// while it arrives, stores the result, and says what becomes of the task.
//
// A job that is a line of a batch says nothing of its own, which saves its way to the log and back.
//
// It promises I2 (a finished generation is stored, however long that takes: while the store is away the log holds its
// outcome, and whoever claims the job next stores it instead of generating again), I5 (an attempt that lost the job
// neither publishes nor stores: the log and the store refuse it) and I6 (the final event follows the stored result). It
// leaves to others when a task is delivered (queue), when it may begin (throttle), what an upstream's answer
// means (upstream), and the repair of logs
// whose worker died before the final event (eventlog).
package generate

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"sluice/shared/answer"
	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/worker/internal/throttle"
)

// Store is what an attempt needs of the store.
type Store interface {
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	Claim(ctx context.Context, ref completion.Ref, worker string, at time.Time) (completion.Job, error)
	Retry(ctx context.Context, ref completion.Ref, attempt int, r completion.Retry) error
	Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error)
}

// Log is what an attempt needs of the event log.
type Log interface {
	completion.Log
	// Begin is Open for a log that is taken to be empty, and asks nobody; if it is not, the first Append answers ErrStale.
	Begin(ref completion.Ref) (completion.Tail, error)
	Seal(ctx context.Context, job completion.Job) error
}

// Upstream generates. The sequence yields the upstream's chunks, or for an endpoint that does not stream the whole answer at
// once, and ends without an error only if the answer is whole; its errors are of type *completion.Error, or carry the cause that ended ctx.
type Upstream interface {
	Name() string
	Stream(ctx context.Context, e completion.Endpoint, request json.RawMessage) iter.Seq2[json.RawMessage, error]
}

// Throttle lets attempts begin; see package throttle.
type Throttle interface {
	Enter(ctx context.Context) (*throttle.Pass, error)
}

// Options of a Generator. All are required.
type Options struct {
	Worker          string        // this process's name in the store, unique
	Attempts        int           // tries that may fail before the job does
	Backoff         Backoff       // pause between tries
	GenerationLimit time.Duration // longest a single attempt may take
	PublishLimit    time.Duration // longest wait for the log after the answer is stored, before giving up on it
	Throttle        Throttle      // when an attempt may begin

	// Who learns of what happens to attempts; none may block.
	Claimed func(*completion.Job)                   // one begins
	Ended   func(*completion.Job)                   // one ended and, with it, the job, as it was stored
	Retried func(job *completion.Job, counted bool) // one ended and another follows; counted: it cost a try
	Lost    func(*completion.Job)                   // one came to nothing: the job was another's by then, or the worker stopped before the end was stored
}

// Generator runs the attempts of one lane's jobs; any number at once.
type Generator struct {
	store    Store
	events   Log
	upstream Upstream
	opts     Options
	logger   *slog.Logger
	running  running
	pending  atomic.Int64 // ends that are being stored
}

// New returns a Generator.
func New(s Store, l Log, u Upstream, o Options, logger *slog.Logger) *Generator {
	return &Generator{store: s, events: l, upstream: u, opts: o, logger: logger}
}

// Causes that end an attempt early; they travel in its context.
var (
	errCancelled = errors.New("cancelled by request")
	errExpired   = errors.New("deadline reached")
	errTooLong   = errors.New("generation limit reached")
)

// heldDelay is how long a task waits that was delivered while a live worker runs its job.
const heldDelay = 5 * time.Second

// Cancel ends the attempt of ref as cancelled, if it runs here (I9).
func (g *Generator) Cancel(ref completion.Ref) { g.running.stop(ref, errCancelled) }

// Running is how many attempts run now.
func (g *Generator) Running() int { return g.running.count() }

// Pending is how many attempts have ended whose end is not stored yet.
func (g *Generator) Pending() int { return int(g.pending.Load()) }

// log is the logger for what is about ref.
func (g *Generator) log(ref completion.Ref) *slog.Logger {
	return g.logger.With("tenant", ref.Tenant, "job_id", ref.Job)
}

// Handle is the queue's handler: it runs one attempt of the task's job. Its answers are the queue's: nil when the task
// is done with, *queue.Again when it shall come back, queue.ErrNotMine when another worker has the job.
func (g *Generator) Handle(ctx context.Context, task completion.Task) error {
	attempt, end, ok := g.running.begin(ctx, task.Ref)
	if !ok {
		return &queue.Again{After: heldDelay}
	}
	defer end()
	pass, err := g.opts.Throttle.Enter(attempt) // before the claim: a job that waits is queued still
	if err != nil {
		return &queue.Again{}
	}
	defer pass.Leave()
	job, err := g.claim(ctx, task.Ref)
	switch {
	case err == nil:
		claimed(ctx, job)
		return g.attempt(attempt, job, pass)
	case errors.Is(err, completion.ErrFinal):
		return g.seal(ctx, job)
	case errors.Is(err, completion.ErrNotFound):
		g.log(task.Ref).WarnContext(ctx, "task of an unknown job dropped")
		return nil
	case errors.Is(err, completion.ErrHeld):
		return &queue.Again{After: heldDelay}
	default:
		return &queue.Again{After: heldDelay, Err: err}
	}
}

// claim claims the job, for as long as the store is away: a claim whose answer got lost may have made the job this
// worker's, and only this worker can claim it again. For the same reason a claim under way is waited for.
func (g *Generator) claim(ctx context.Context, ref completion.Ref) (*completion.Job, error) {
	var job completion.Job
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := spanned(context.WithoutCancel(ctx), "claim job", func(ctx context.Context) (err error) {
			job, err = g.store.Claim(ctx, ref, g.opts.Worker, time.Now())
			return err
		})
		if err == nil || completion.AsError(err).Code != completion.CodeUnavailable {
			return &job, err
		}
		g.log(ref).ErrorContext(ctx, "store is away, the claim is tried again", "error", err)
		if pause(ctx, wait) != nil {
			return &job, err
		}
	}
}

// seal closes the log of a job that is final already; its worker died before it could, or it was cancelled in the queue.
func (g *Generator) seal(ctx context.Context, job *completion.Job) error {
	ctx, cancel := context.WithTimeout(ctx, g.opts.PublishLimit)
	defer cancel()
	if err := g.events.Seal(ctx, *job); err != nil {
		g.log(job.Ref()).WarnContext(ctx, "final event not published, the first viewer to ask repairs it", "error", err)
	}
	return nil
}

// attempt generates and ends in whichever way the context's cause or the upstream's error say. A stream keeps the stack from
// here on for as long as it goes on, so large values are passed by their addresses.
func (g *Generator) attempt(ctx context.Context, job *completion.Job, pass *throttle.Pass) error {
	g.opts.Claimed(job)
	if job.CancelRequested {
		g.Cancel(job.Ref())
	}
	if done, err := g.resume(ctx, job); done {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := g.newSpeech(job)
	speaking, hush := context.WithCancelCause(context.WithoutCancel(ctx)) // what was generated is published even after a cancel
	defer hush(nil)
	if job.Quiet() {
		s.keepQuiet()
	} else {
		s.speak(speaking, stop)
	}
	err := g.generate(ctx, job, s)
	s.end()
	if err == nil {
		err = context.Cause(ctx) // a cancel or a take-over that came with the last chunk
		if errors.Is(err, queue.ErrStopping) {
			err = nil // the answer is whole
		}
	}
	result := g.conclude(ctx, job, s, pass, err)
	hush(errors.New("attempt is over"))
	<-s.done
	return result
}

func (g *Generator) generate(ctx context.Context, job *completion.Job, s *speech) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.opts.GenerationLimit, errTooLong)
	defer cancel()
	if !job.Deadline.IsZero() {
		ctx, cancel = context.WithDeadlineCause(ctx, job.Deadline, errExpired)
		defer cancel()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, done := g.asking(ctx, job, s)
	defer func() { done(err) }()
	for chunk, err := range g.upstream.Stream(completion.WithRequestID(ctx, job.RequestID), job.Endpoint, job.Request) {
		switch {
		case err != nil:
		case !job.Endpoint.Streams():
			s.set(chunk)
		default:
			err = s.add(chunk)
			if errors.Is(err, answer.ErrShape) {
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
func (g *Generator) conclude(ctx context.Context, job *completion.Job, s *speech, pass *throttle.Pass, err error) error {
	pause, spared := pass.Took(err)
	switch {
	case err == nil:
		return g.finish(ctx, job, s, completion.Completed, nil)
	case errors.Is(err, completion.ErrStale), errors.Is(err, completion.ErrFinal):
		g.log(job.Ref()).InfoContext(ctx, "job taken over by a later attempt", "attempt", job.Attempt)
		g.opts.Lost(job)
		return queue.ErrNotMine
	case errors.Is(err, errCancelled):
		return g.finish(ctx, job, s, completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	case errors.Is(err, errExpired):
		return g.finish(ctx, job, s, completion.Expired, completion.NewError(completion.CodeExpired, ""))
	case errors.Is(err, errTooLong):
		return g.finish(ctx, job, s, completion.Failed, completion.NewError(completion.CodeTimeout, "").Because(err))
	case errors.Is(err, queue.ErrStopping):
		return g.handBack(ctx, job, s, completion.NewError(completion.CodeDraining, ""), 0)
	}
	failure := completion.AsError(err)
	if spared && !job.Deadline.IsZero() { // it ends at its deadline, however often the upstream refuses it
		return g.handBack(ctx, job, s, failure, max(pause, g.opts.Backoff.After(job.Returned+1, failure)))
	}
	if failure.Retryable && job.Tries+1 < g.opts.Attempts {
		delay := g.opts.Backoff.After(job.Tries+1, failure)
		if !job.Overdue(time.Now().Add(delay)) {
			return g.retry(ctx, job, s, failure, delay, true)
		}
	}
	return g.finish(ctx, job, s, completion.Failed, failure)
}
