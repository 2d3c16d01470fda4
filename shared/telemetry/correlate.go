package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// correlate is a handler whose lines carry the ids of the span in whose context they are written.
type correlate struct{ slog.Handler }

// Handle is slog's.
func (c correlate) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs is slog's.
func (c correlate) WithAttrs(attrs []slog.Attr) slog.Handler {
	return correlate{c.Handler.WithAttrs(attrs)}
}

// WithGroup is slog's.
func (c correlate) WithGroup(name string) slog.Handler { return correlate{c.Handler.WithGroup(name)} }
