package worker

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/telemetry"
)

// traced has each delivery of a task be a span of the job's trace: the one that the task was enqueued in. A task that came
// without one, as lines of batches do and those that the sweeper brings, has its job's own, the same for all its deliveries. The
// generator says what the span is of.
func (w *Worker) traced(handle queue.Handler) queue.Handler {
	return func(ctx context.Context, t completion.Task) error {
		ctx, span := w.delivery(ctx, &t)
		defer span.End()
		return handle(ctx, t)
	}
}

func (w *Worker) delivery(ctx context.Context, t *completion.Task) (context.Context, trace.Span) {
	ctx, span := w.back.Tracer.Start(telemetry.Seed(ctx, t.Ref.Tenant+":"+t.Ref.Job), "delivery", trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(telemetry.Job.String(t.Ref.Job), telemetry.Tenant.String(t.Ref.Tenant), telemetry.Lane.String(string(t.Lane)))
	}
	return ctx, span
}
