package telemetry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"sluice/shared/completion"
)

// What spans say of a job. Content and keys are never among it, and neither are the texts of errors, which may quote content.
const (
	Job       = attribute.Key("sluice.job.id")
	Tenant    = attribute.Key("sluice.tenant")
	Lane      = attribute.Key("sluice.lane")
	Attempt   = attribute.Key("sluice.attempt")
	State     = attribute.Key("sluice.state") // the job's, as the span left it
	Batch     = attribute.Key("sluice.batch.id")
	Upstream  = attribute.Key("sluice.upstream") // its name
	RequestID = attribute.Key("sluice.request_id")

	errorType = attribute.Key("error.type")
)

// W3C is how the context of a trace travels: the headers traceparent and tracestate. Baggage, which may hold anything, does not.
var W3C propagation.TextMapPropagator = propagation.TraceContext{}

// Start begins a span below that of ctx, by the same tracer. Where that one records nothing, there is none, at no cost.
func Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return ctx, silent
	}
	return above.TracerProvider().Tracer(scope).Start(ctx, name, options...)
}

var silent = trace.SpanFromContext(context.Background())

// Fail says on a span that it failed, and by which code. A nil error says nothing.
func Fail(span trace.Span, err error) {
	if err == nil || !span.IsRecording() {
		return
	}
	code := string(completion.AsError(err).Code)
	span.SetStatus(codes.Error, code)
	span.SetAttributes(errorType.String(code))
}

// End ends the span of what one of our own servers was asked for. What the domain refuses is no failure of it.
func End(span trace.Span, err error) {
	if err != nil && !refused(err) {
		Fail(span, err)
	}
	span.End()
}

func refused(err error) bool {
	for _, no := range []error{completion.ErrFinal, completion.ErrHeld, completion.ErrStale, completion.ErrKnown, completion.ErrCancelled} {
		if errors.Is(err, no) {
			return true
		}
	}
	return completion.AsError(err).Code.Kind().Status < http.StatusInternalServerError
}

// Spoil says on a span which code kept it from its end, where that is no failure: a cancel, a drain.
func Spoil(span trace.Span, code completion.Code) { span.SetAttributes(errorType.String(string(code))) }

type seedKey struct{}

// Seed has the trace that begins in ctx named after seed: whoever begins one with the same seed continues it, without having
// been told of it.
func Seed(ctx context.Context, seed string) context.Context {
	return context.WithValue(ctx, seedKey{}, seed)
}

// ids makes the ids of traces and spans: at random, or of a trace by its seed.
type ids struct{}

// NewIDs is the tracer's.
func (i ids) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	if seed, ok := ctx.Value(seedKey{}).(string); ok {
		sum := sha256.Sum256([]byte(seed))
		copy(id[:], sum[:])
	}
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, i.NewSpanID(ctx, id)
}

// NewSpanID is the tracer's.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
