// Package salvage ends an attempt in the place of a worker that is dead or paused: it reads from the job's log what the
// attempt has said, and closes the log to it.
//
// It promises that the attempt says nothing more once its outcome has been read (I5), so that what is stored is what was
// streamed (I4), and that the outcome is in the log before anybody stores it (I2). It leaves to the caller to know that
// the attempt is lost, and to store the outcome.
package salvage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"sluice/shared/answer"
	"sluice/shared/completion"
)

// Decide says how the job shall end, given what its latest attempt has said; an empty state if it shall not.
type Decide func(*answer.Recalled) (completion.State, *completion.Error)

// Attempt reads the latest attempt of the job, which must be running, and ends it as decide says: the outcome is to be
// stored under job.Attempt, and the log sealed. ok is false if decide does not end it. What a log has discarded is not
// part of the outcome. While the log is away it tries until ctx ends; whether the log is closed to the attempt is not known
// then, and salvaging it again finds out. completion.ErrFinal: the log has a final event.
func Attempt(ctx context.Context, log completion.Log, job completion.Job, decide Decide) (o completion.Outcome, ok bool, err error) {
	for {
		o, ok, err = attempt(ctx, log, job, decide)
		if !errors.Is(err, completion.ErrStale) && !errors.Is(err, completion.ErrLogLost) {
			return o, ok, err
		}
		if ctx.Err() != nil {
			return o, false, context.Cause(ctx)
		}
	}
}

func attempt(ctx context.Context, log completion.Log, job completion.Job, decide Decide) (o completion.Outcome, ok bool, err error) {
	tail, err := log.Open(ctx, job.Ref())
	if err != nil {
		return o, false, fmt.Errorf("salvage: %w", err)
	}
	r, err := recall(ctx, log, job.Ref(), tail.Last())
	if err != nil {
		return o, false, fmt.Errorf("salvage: %w", err)
	}
	state, failure := decide(r)
	if state == "" {
		return o, false, nil
	}
	o = completion.Outcome{
		State: state, Upstream: r.Upstream, Result: r.Answer.Completion(), Usage: r.Answer.Usage(),
		FinishReason: r.Answer.FinishReason(), Error: failure, FirstTokenAt: r.First, At: time.Now(),
	}
	if r.Ended != nil && len(r.Ended.Result) > 0 {
		o.Result, o.Usage, o.FinishReason = r.Ended.Result, r.Ended.Usage, r.Ended.FinishReason
	}
	if o.Usage == nil {
		o.Usage = r.Answer.Estimate(job.Request)
	}
	if job.Quiet() && tail.Last().Seq == 0 {
		return o, true, nil // there is nothing to lose, and nobody to shut out
	}
	if err = tail.Append(ctx, o.StoringEvent(job.Attempt)); err != nil {
		return o, false, fmt.Errorf("salvage: %w", err)
	}
	return o, true, nil
}

// recall reads the log up to last. An attempt that said nothing, or whose failure is known, is an empty one.
func recall(ctx context.Context, log completion.Log, ref completion.Ref, last completion.Record) (*answer.Recalled, error) {
	if last.Type != completion.EventDelta && last.Type != completion.EventStoring {
		return &answer.Recalled{}, nil
	}
	r, ok, err := answer.Recall(until(log.Read(ctx, ref), last.Seq))
	if err != nil || !ok {
		return &answer.Recalled{}, err
	}
	return r, nil
}

// until ends records after the one with the seq.
func until(records iter.Seq2[completion.Record, error], seq int64) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		for r, err := range records {
			if !yield(r, err) || err != nil || r.Seq >= seq {
				return
			}
		}
	}
}
