// Package attend takes in the jobs of clients that keep their request open until the job has ended, and serves them until then.
//
// It promises that whatever ends such a request early (the client leaves or does not read, its key is revoked, the server
// stops) is noticed, and that the job is then cancelled unless the client wants it kept (I9). What is written to the client
// is left to the faces.
package attend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/intake"
	"sluice/api/internal/problem"
	"sluice/api/internal/sse"
	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/limit"
)

// Guard knows whether a caller's key still opens anything.
type Guard interface {
	Still(ctx context.Context, c access.Caller) error
}

// Intake takes jobs in, and ends those that nobody waits for any more.
type Intake interface {
	Allow(ctx context.Context, tenant string, b intake.Body) error
	NewJob(ctx context.Context, tenant string, b intake.Body) completion.Job
	Repeats(ctx context.Context, job *completion.Job) bool
	Accept(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error)
	Cancel(ctx context.Context, ref completion.Ref) (completion.Job, error)
}

// Store has the answers that are too large for an event.
type Store interface {
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
}

// Limits hold tenants to what they may do.
type Limits interface {
	Stream(ctx context.Context, tenant string) (*limit.Stream, error)
}

// Log has what jobs say.
type Log interface {
	completion.Log
	Subscribe(ctx context.Context, ref completion.Ref) (*eventlog.Feed, error)
}

// Models knows which models there are.
type Models interface {
	Check(ctx context.Context, model string) error
}

// Parts are what a Desk is made of. All are required.
type Parts struct {
	Store  Store
	Log    Log
	Intake Intake
	Models Models
	Limits Limits
	Guard  Guard
	Logger *slog.Logger

	Heartbeat time.Duration   // pause between comments on an event stream
	Write     time.Duration   // longest a client may take to read one event, or an answer
	Grace     time.Duration   // how long a stopping server lets requests go on
	Stopping  context.Context // its end begins the grace, with its cause
}

// Desk is where clients wait. It is safe for concurrent use.
type Desk struct{ p Parts }

// New returns a Desk.
func New(p Parts) *Desk { return &Desk{p: p} }

// wait runs serve with a context that ends with the client, with its key, or with the server's grace.
func (d *Desk) wait(c huma.Context, client Client, serve func(ctx context.Context, cancel context.CancelCauseFunc, w http.ResponseWriter)) {
	r, w := humago.Unwrap(c)
	client.Introduce(w.Header())
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the body is read; from here on, only the client's leaving is
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(d.p.Stopping, func() {
		limit := time.AfterFunc(d.p.Grace, func() { cancel(context.Cause(d.p.Stopping)) })
		context.AfterFunc(ctx, func() { limit.Stop() })
	})()
	var watching sync.WaitGroup
	watching.Go(func() { Watch(ctx, d.p.Guard, client.caller, client.place, cancel) })
	serve(ctx, cancel, w)
	cancel(nil)
	watching.Wait() // it renews the place that is given up now
	client.leave()
}

// Stream runs serve, which writes the job's answer to an event stream, and reports whatever it returns with fail, or as an
// HTTP error if nothing was written before. ErrEnded, and errors that wrap it, say that the job has ended.
func (d *Desk) Stream(c huma.Context, client Client, serve func(ctx context.Context, s *sse.Stream) error, fail func(s *sse.Stream, err error)) {
	d.wait(c, client, func(ctx context.Context, cancel context.CancelCauseFunc, w http.ResponseWriter) {
		stream := sse.New(w, d.p.Heartbeat, d.p.Write)
		beating, hush := context.WithCancel(ctx)
		var beat sync.WaitGroup
		beat.Go(func() { stream.Beat(beating, cancel) })
		err := serve(ctx, stream)
		hush()
		beat.Wait()
		if err != nil {
			d.leave(ctx, client, err)
			err = told(ctx, err)
		}
		switch {
		case err == nil:
		case stream.Begun():
			fail(stream, err)
		default:
			d.refuse(ctx, w, err)
		}
		if stream.Begun() {
			stream.End()
		}
	})
}

// Wait waits for the job's end and has answer write it, or writes the error that it returns.
func (d *Desk) Wait(c huma.Context, client Client, answer func(w http.ResponseWriter, job completion.Job) error) {
	d.wait(c, client, func(ctx context.Context, _ context.CancelCauseFunc, w http.ResponseWriter) {
		job, err := d.end(ctx, client)
		if err != nil {
			d.leave(ctx, client, err)
			err = told(ctx, err)
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d.p.Write)) // a connection that is gone needs none
		if err == nil {
			err = answer(w, job)
		}
		if err != nil {
			d.refuse(ctx, w, err)
		}
	})
}

// end waits until the job is in a final state and returns it.
func (d *Desk) end(ctx context.Context, client Client) (completion.Job, error) {
	for _, err := range client.Events(ctx) {
		if err != nil {
			return completion.Job{}, err
		}
	}
	return d.p.Store.Get(ctx, client.Job.Ref()) // what a final event says is stored (I6)
}

// ErrEnded is wrapped by the errors of a job that has ended without an answer: there is nothing left to cancel.
var ErrEnded = errors.New("job has ended")

// leave cancels the job of a client that is gone before the end, unless it shall be kept.
func (d *Desk) leave(ctx context.Context, client Client, err error) {
	d.p.Logger.Debug("client left", "tenant", client.Job.Tenant, "job_id", client.Job.ID, "keep", client.keep, "cause", context.Cause(ctx), "error", err)
	if client.keep || errors.Is(err, ErrEnded) {
		return
	}
	if _, err := d.p.Intake.Cancel(context.WithoutCancel(ctx), client.Job.Ref()); err != nil {
		d.p.Logger.Error("job of a client that left not cancelled", "tenant", client.Job.Tenant, "job_id", client.Job.ID, "error", err)
	}
}

// told is what a client that may still be there is told of the end of its request.
func told(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, sse.ErrStopping):
		return completion.NewError(completion.CodeUnavailable, "The server is stopping; try again.").Because(cause)
	case cause != nil:
		var own *completion.Error
		if errors.As(cause, &own) {
			return own
		}
		return completion.NewError(completion.CodeCancelled, "").Because(cause) // it is gone
	default:
		return err
	}
}

func (d *Desk) refuse(ctx context.Context, w http.ResponseWriter, err error) {
	if !errors.Is(err, ErrEnded) {
		err = problem.Answer(ctx, d.p.Logger, err)
	}
	problem.Write(w, err)
}

// Ended returns the error of a job that has ended without an answer.
func Ended(job completion.Job) error {
	e := job.Error
	if e == nil {
		e = completion.NewError(completion.CodeInternal, "")
	}
	return fmt.Errorf("%w: %w", ErrEnded, e)
}

// Watch ends a request whose caller's key has ended (I8), and keeps its place among its tenant's streams, until ctx ends.
// place may be nil.
func Watch(ctx context.Context, guard Guard, caller access.Caller, place *limit.Stream, end context.CancelCauseFunc) {
	check, renew := time.NewTicker(access.Fresh), time.NewTicker(limit.Renew)
	defer check.Stop()
	defer renew.Stop()
	for {
		select {
		case <-check.C:
			if err := guard.Still(ctx, caller); err != nil {
				end(fmt.Errorf("key of an open request: %w", err))
				return
			}
		case <-renew.C:
			if place != nil {
				place.Renew(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}
