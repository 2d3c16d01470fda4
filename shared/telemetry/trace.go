package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Traces is where a program's spans begin and where they are sent from.
type Traces struct {
	tracer   trace.Tracer
	provider *sdk.TracerProvider // nil: nothing is traced
	client   *otlp
	log      *slog.Logger
}

// flushLimit is how long a program that stops waits for its last spans to be sent.
const flushLimit = 3 * time.Second

// OpenTraces sends spans to where OpenTelemetry's standard environment says; without an endpoint there, nothing is traced. The
// service is what the spans say that they come from, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise. A
// collector that is away costs its spans and two lines in the log. Close sends what is left.
func OpenTraces(ctx context.Context, service string, log *slog.Logger) (*Traces, error) {
	t := &Traces{tracer: NoTracer, log: log}
	// The environment is read here and not in main, because it is OpenTelemetry's, whose library reads the rest of it.
	client, err := newOTLP(os.Getenv)
	if client == nil || err != nil {
		return t, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces", "error", err) }))
	from, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", Version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("prepare traces: %w", err)
	}
	t.client = client
	t.provider = sdk.NewTracerProvider(sdk.WithResource(from), sdk.WithIDGenerator(ids{}), sdk.WithBatcher(&calm{SpanExporter: exporter, log: log}))
	t.tracer = t.provider.Tracer(scope)
	return t, nil
}

// Tracer begins spans; one that records nothing where nothing is traced.
func (t *Traces) Tracer() trace.Tracer { return t.tracer }

// Close sends the spans that have ended, for at most three seconds.
func (t *Traces) Close() {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last spans were not sent", "error", err)
	}
	t.client.hangUp()
}

// NoTracer records nothing.
var NoTracer = noop.NewTracerProvider().Tracer(scope)

// scope is the name under which all spans are made.
const scope = "sluice"

// calm is an exporter that tells once of an outage and once of its end; the spans of the time between are lost.
type calm struct {
	sdk.SpanExporter
	log  *slog.Logger
	lost int
}

// ExportSpans never fails: what there is to say has been said. It is not called twice at once.
func (c *calm) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	switch err := c.SpanExporter.ExportSpans(ctx, spans); {
	case err != nil:
		if c.lost == 0 {
			c.log.Warn("spans are lost, the collector does not take them", "error", err)
		}
		c.lost += len(spans)
	case c.lost > 0:
		c.log.Info("the collector takes spans again", "lost_spans", c.lost)
		c.lost = 0
	}
	return nil
}

// traced reports whether the environment asks for traces.
func traced(getenv func(string) string) bool {
	return !strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") && getenv("OTEL_TRACES_EXPORTER") != "none"
}
