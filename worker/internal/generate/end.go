package generate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sluice/shared/completion"
	"sluice/shared/queue"
)

// finish stores the final state and then publishes the final event (I6).
func (g *Generator) finish(ctx context.Context, job *completion.Job, s *speech, state completion.State, failure *completion.Error) error {
	said, err := s.flush(ctx)
	if err != nil {
		return g.refused(ctx, job, err)
	}
	outcome := s.outcome(state, failure, job.Request)
	outcome.Unsaid = !said
	stored, err := g.end(ctx, job, outcome, func() { g.keep(ctx, job, s, outcome) })
	if errors.Is(err, completion.ErrFinal) {
		g.opts.Lost(job)
		return g.seal(ctx, stored) // somebody else ended it, and may not have got to close the log
	}
	if err != nil {
		return g.refused(ctx, job, err)
	}
	return g.announce(ctx, s, stored.FinalEvent())
}

// end stores the job's end, calling away whenever the store did not take it.
func (g *Generator) end(ctx context.Context, job *completion.Job, o completion.Outcome, away func()) (stored *completion.Job, err error) {
	err = g.persist(ctx, job, "finish job", func(ctx context.Context) error {
		ended, err := g.store.Finish(ctx, job.Ref(), job.Attempt, o)
		stored = &ended
		return err
	}, away)
	if err == nil {
		g.note(ctx, stored, o.Error)
		g.opts.Ended(stored)
	}
	return stored, err
}

// keepLimit is how long storing the outcome is put off for writing it to the log.
const keepLimit = 5 * time.Second

// keep appends the outcome to the log: it survives this process until the store is back (I2). An answer too large for an
// event is in the log already, in its chunks; one that had none stays in memory only. It does so once, when all of them
// are out.
func (g *Generator) keep(ctx context.Context, job *completion.Job, s *speech, o completion.Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepLimit)
	defer cancel()
	if s.kept || s.wait(ctx) != nil {
		return
	}
	event := o.StoringEvent(s.start.Attempt)
	if !job.Endpoint.Streams() && !event.Fits() {
		g.log(s.ref).WarnContext(ctx, "outcome too large for the log")
		return
	}
	if err := s.say(ctx, &event); err != nil {
		g.log(s.ref).WarnContext(ctx, "outcome not written to the log", "error", err)
		return
	}
	s.kept = true
}

// handBack lets another attempt follow because of what is not the job's fault, and costs no try.
func (g *Generator) handBack(ctx context.Context, job *completion.Job, s *speech, why *completion.Error, delay time.Duration) error {
	return g.retry(ctx, job, s, why, delay, false)
}

// retry stores that another attempt follows, tells the viewers, and asks the queue for it after the delay.
func (g *Generator) retry(ctx context.Context, job *completion.Job, s *speech, failure *completion.Error, delay time.Duration, counted bool) error {
	r := completion.Retry{Outcome: s.outcome(completion.Queued, failure, job.Request), Counted: counted}
	r.RetryAt = r.At.Add(delay)
	err := g.persist(ctx, job, "retry job", func(ctx context.Context) error {
		return g.store.Retry(ctx, job.Ref(), job.Attempt, r)
	}, func() {})
	switch {
	case errors.Is(err, completion.ErrCancelled):
		return g.finish(ctx, job, s, completion.Cancelled, completion.NewError(completion.CodeCancelled, ""))
	case err != nil:
		return g.refused(ctx, job, err)
	}
	became(ctx, completion.Queued, failure, counted)
	g.opts.Retried(job, counted)
	level := slog.LevelWarn
	if !counted {
		level = slog.LevelDebug
	}
	g.log(job.Ref()).Log(ctx, level, "attempt failed, another follows", "attempt", job.Attempt, "after", delay, "error", failure)
	e := completion.Event{Type: completion.EventRetrying, Attempt: job.Attempt, At: r.At, Error: failure, RetryAt: &r.RetryAt}
	if err := g.announce(ctx, s, e); err != nil {
		return err
	}
	return &queue.Again{After: delay}
}

// persistGrace is how long a stopping worker still tries to store what it has.
const persistGrace = 10 * time.Second

// persist runs write, which is called act in traces, until the store takes it or refuses it for good, and away after each failure: a database that is
// down is waited for (I2), but not longer than persistGrace once the worker is told to stop.
func (g *Generator) persist(ctx context.Context, job *completion.Job, act string, write func(context.Context) error, away func()) error {
	g.pending.Add(1)
	defer g.pending.Add(-1)
	bounded, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), queue.ErrStopping) {
			time.AfterFunc(persistGrace, cancel)
		}
	})()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := spanned(bounded, act, write)
		if err == nil || !transient(err) {
			return err
		}
		g.log(job.Ref()).ErrorContext(ctx, "store is away, the result is kept and tried again", "attempt", job.Attempt, "error", err)
		away()
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
func (g *Generator) refused(ctx context.Context, job *completion.Job, err error) error {
	g.opts.Lost(job)
	if transient(err) {
		g.log(job.Ref()).ErrorContext(ctx, "result not stored before the worker stopped", "attempt", job.Attempt, "error", err)
		return &queue.Again{}
	}
	g.log(job.Ref()).InfoContext(ctx, "attempt was not the job's latest any more", "attempt", job.Attempt, "error", err)
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
		err = s.say(ctx, &e)
	}
	switch {
	case errors.Is(err, completion.ErrStale):
		return queue.ErrNotMine
	case err != nil && !errors.Is(err, completion.ErrFinal):
		g.log(s.ref).WarnContext(ctx, "event not published, the first viewer to ask repairs it", "type", e.Type, "error", err)
	}
	return nil
}

func (g *Generator) note(ctx context.Context, job *completion.Job, failure *completion.Error) {
	became(ctx, job.State, failure, job.State == completion.Failed)
	log, attrs := g.log(job.Ref()), []any{"state", job.State, "attempt", job.Attempt, "took", job.FinishedAt.Sub(job.CreatedAt)}
	if failure != nil && job.State == completion.Failed {
		log.WarnContext(ctx, "job failed", append(attrs, "error", failure)...)
		return
	}
	log.DebugContext(ctx, "job finished", attrs...)
}
