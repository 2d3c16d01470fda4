// Package intake is the one way in and out of the queue for all faces of the API: it accepts completions and cancels them.
//
// It promises that what it has accepted is in the store (I1), that an idempotency key is used once (I7), that a tenant
// stays within its limits, and that a cancel reaches whoever has the job (I9). It leaves to the faces who the caller is and
// what a body means.
package intake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"sluice/api/internal/request"
	"sluice/shared/completion"
	"sluice/shared/limit"
	"sluice/shared/queue"
	"sluice/shared/salvage"
	"sluice/shared/telemetry"
)

// Store is what the intake needs of the store.
type Store interface {
	Add(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error)
	Get(ctx context.Context, ref completion.Ref) (completion.Job, error)
	Cancel(ctx context.Context, ref completion.Ref, at time.Time) (job completion.Job, held bool, err error)
	Finish(ctx context.Context, ref completion.Ref, attempt int, o completion.Outcome) (completion.Job, error)
	Same(ctx context.Context, job *completion.Job) (completion.Job, error)
}

// Queue is what the intake needs of the queue.
type Queue interface {
	Enqueue(ctx context.Context, t completion.Task) error
	Admit(ctx context.Context, t completion.Task, limit int) error
	Withdraw(ctx context.Context, t completion.Task) error
	Forget(ctx context.Context, t completion.Task) error
}

// Log is what the intake needs of the event log.
type Log interface {
	completion.Log
	Seal(ctx context.Context, job completion.Job) error
}

// Bell reaches the worker that runs a job, and those who wait for the end of a conversation's turn.
type Bell interface {
	Cancel(ref completion.Ref)
	Turn(conversation completion.Ref)
}

// Limits hold tenants to what they may do.
type Limits interface {
	Of(tenant string) completion.Limits
	Submit(ctx context.Context, tenant string) error
}

// Parts are what an Intake is made of.
type Parts struct {
	Store   Store
	Queue   Queue
	Log     Log
	Bell    Bell
	Limits  Limits
	Timeout map[completion.Lane]time.Duration // until a job must have ended that says nothing about it
	Logger  *slog.Logger

	Accepted func(lane completion.Lane, e completion.Endpoint, n int) // learns of each job that was made; nil: nobody does
}

// Intake is safe for concurrent use.
type Intake struct{ p Parts }

// New returns an Intake.
func New(p Parts) *Intake { return &Intake{p: p} }

// enqueueLimit bounds how long the queue is waited for: the job is stored, and the sweeper brings it later.
const enqueueLimit = 2 * time.Second

// Body is a submission as it came, before it is read.
type Body struct {
	Endpoint completion.Endpoint // whose body it is; "": the native face's
	Act      string              // what is to be done with it, where the same body may ask for several things; "" where not
	Bytes    []byte
	Type     string // Content-Type
	Key      string // Idempotency-Key; "" for none
}

// Hash is what the key must match when it is used again; empty without a key.
func (b *Body) Hash() string {
	if b.Key == "" {
		return ""
	}
	h := sha256.New()
	if b.Endpoint != "" { // the same bytes may be a body of several endpoints
		h.Write([]byte(b.Endpoint + "\n"))
	}
	if b.Act != "" {
		h.Write([]byte(b.Act + "\n"))
	}
	h.Write(b.Bytes)
	return hex.EncodeToString(h.Sum(nil))
}

// Allow counts a submission against the tenant's rate and checks what can be said of it unread.
func (i *Intake) Allow(ctx context.Context, tenant string, b Body) error {
	if err := i.p.Limits.Submit(ctx, tenant); err != nil {
		return err
	}
	if most := i.p.Limits.Of(tenant).BodyBytes; most > 0 && int64(len(b.Bytes)) > most {
		return completion.NewError(completion.CodeTooLarge, fmt.Sprintf("The body is too large: the tenant's limit is %d bytes.", most))
	}
	if err := request.JSON(b.Type); err != nil {
		return err
	}
	return request.Key(b.Key)
}

// NewJob returns a job of tenant for what b holds, for Accept, once the caller has said what it is to be done with.
func (i *Intake) NewJob(ctx context.Context, tenant string, b Body) completion.Job {
	now := time.Now()
	return completion.Job{
		ID: completion.NewJobID(), Tenant: tenant, Lane: completion.LaneInteractive, State: completion.Queued,
		Endpoint: cmp.Or(b.Endpoint, completion.EndpointChat), IdempotencyKey: b.Key, BodyHash: b.Hash(),
		RequestID: completion.RequestID(ctx), Quota: i.p.Limits.Of(tenant).Quota(""), CreatedAt: now, UpdatedAt: now,
	}
}

// Repeats reports whether there was a job with the key of this one before.
func (i *Intake) Repeats(ctx context.Context, job *completion.Job) bool {
	_, err := i.p.Store.Same(ctx, job)
	return err == nil || errors.Is(err, completion.ErrConflict)
}

// Accept stores and enqueues a new job if the tenant may have one more waiting and its quota is not used up, or returns the
// one that is there already, by its key or by the job that it tries again; that one needs no place, and is not counted. A job
// without a deadline gets its lane's.
func (i *Intake) Accept(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error) {
	return i.AcceptBy(ctx, job, i.p.Store.Add)
}

// AcceptBy is Accept for a job that add stores, with more that belongs to it, as Store.Add would. A job that is held then
// takes no place in the queue; it comes there by Enqueue.
func (i *Intake) AcceptBy(ctx context.Context, job *completion.Job, add func(ctx context.Context, job *completion.Job) (stored completion.Job, created bool, err error)) (stored completion.Job, created bool, err error) {
	if job.Deadline.IsZero() {
		job.Deadline = job.CreatedAt.Add(i.p.Timeout[job.Lane])
	}
	task, most := job.Task(), i.p.Limits.Of(job.Tenant).Queued
	err = i.p.Queue.Admit(ctx, task, most)
	switch {
	case errors.Is(err, queue.ErrFull):
		if stored, err = i.p.Store.Same(ctx, job); errors.Is(err, completion.ErrNotFound) {
			err = limit.Full()
		}
		return stored, false, err
	case err != nil:
		i.p.Logger.WarnContext(ctx, "job not counted among those that wait, Redis is away", "tenant", job.Tenant, "job_id", job.ID, "error", err)
	}
	stored, created, err = spanned(ctx, job, add)
	if created && err == nil && i.p.Accepted != nil {
		i.p.Accepted(stored.Lane, stored.Endpoint, 1)
	}
	switch {
	case created && err == nil && !stored.Held:
		i.Enqueue(ctx, stored)
	case most > 0:
		_ = i.p.Queue.Withdraw(ctx, task) // or the place lapses
	}
	return stored, created, err
}

// spanned is add within a span, and says on the request's span which job it is about.
func spanned(ctx context.Context, job *completion.Job, add func(context.Context, *completion.Job) (completion.Job, bool, error)) (stored completion.Job, created bool, err error) {
	adding, span := telemetry.Start(ctx, "add job")
	stored, created, err = add(adding, job)
	if span.IsRecording() && err == nil {
		trace.SpanFromContext(ctx).SetAttributes(telemetry.Job.String(stored.ID), telemetry.Lane.String(string(stored.Lane)))
	}
	telemetry.End(span, err)
	return stored, created, err
}

// Enqueue hands a job that was accepted to the queue: what the queue misses, the sweeper brings (I1).
func (i *Intake) Enqueue(ctx context.Context, job completion.Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enqueueLimit)
	defer cancel()
	ctx, span := telemetry.Start(ctx, "enqueue job", trace.WithSpanKind(trace.SpanKindProducer))
	err := i.p.Queue.Enqueue(ctx, job.Task())
	telemetry.End(span, err)
	if err != nil {
		i.p.Logger.WarnContext(ctx, "job accepted but not enqueued, the sweeper will", "tenant", job.Tenant, "job_id", job.ID, "error", err)
	}
}

// Cancel ends a job in any state: the store decides what a cancel means in the job's state; what is left is to tell the
// others (I9). It returns the job as it is then; one that runs has ended when its worker has heard of it.
func (i *Intake) Cancel(ctx context.Context, ref completion.Ref) (completion.Job, error) {
	job, held, err := i.p.Store.Cancel(ctx, ref, time.Now())
	if err != nil {
		return completion.Job{}, err
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), enqueueLimit)
	defer done()
	switch {
	case held:
		i.p.Bell.Cancel(ref)
	case job.State == completion.Running: // its worker is dead
		var ended completion.Job
		if ended, err = salvage.End(ctx, i.p.Store, i.p.Log, ref); err == nil {
			job = ended
		}
		i.p.Bell.Cancel(ref) // or only thought to be dead: then it stops spending
	case job.State == completion.Cancelled:
		if err = i.p.Log.Seal(ctx, job); err == nil {
			err = i.p.Queue.Forget(ctx, job.Task())
		}
	}
	if err != nil {
		i.p.Logger.WarnContext(ctx, "cancel stored but not passed on yet", "tenant", job.Tenant, "job_id", job.ID, "error", err)
	}
	if job.Conversation != "" && job.State.Final() {
		i.p.Bell.Turn(completion.Ref{Tenant: job.Tenant, Job: job.Conversation})
	}
	return job, nil
}
