package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sluice/shared/completion"
)

// environment is a program's, for newOTLP.
func environment(pairs ...string) func(string) string {
	env := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		env["OTEL_"+pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return env[name] }
}

const local = "http://127.0.0.1:4318"

func TestOTLP_Environment(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]func(string) string{
		"nothing":  environment(),
		"disabled": environment("EXPORTER_OTLP_ENDPOINT", local, "SDK_DISABLED", "TRUE"),
		"none":     environment("EXPORTER_OTLP_ENDPOINT", local, "TRACES_EXPORTER", "none"),
	} {
		o, err := newOTLP(off)
		require.NoError(t, err, name)
		require.Nil(t, o, name)
	}
	for want, env := range map[string]func(string) string{
		local + "/v1/traces": environment("EXPORTER_OTLP_ENDPOINT", local),
		local + "/a/v1/traces": environment("EXPORTER_OTLP_ENDPOINT", local+"/a/", "EXPORTER_OTLP_PROTOCOL", "http/protobuf",
			"EXPORTER_OTLP_COMPRESSION", "none", "EXPORTER_OTLP_TIMEOUT", "500"),
		local + "/own": environment("EXPORTER_OTLP_ENDPOINT", "else", "EXPORTER_OTLP_TRACES_ENDPOINT", local+"/own"),
	} {
		o, err := newOTLP(env)
		require.NoError(t, err, want)
		require.Equal(t, want, o.endpoint)
		o.hangUp()
	}
	for want, env := range map[string]func(string) string{
		"OTEL_EXPORTER_OTLP_PROTOCOL grpc: want http/protobuf": environment("EXPORTER_OTLP_ENDPOINT", local, "EXPORTER_OTLP_PROTOCOL", "grpc"),
		"OTEL_EXPORTER_OTLP_ENDPOINT: want an address":         environment("EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
		"OTEL_EXPORTER_OTLP_HEADERS: want name=value":          environment("EXPORTER_OTLP_ENDPOINT", local, "EXPORTER_OTLP_HEADERS", "secret"),
		"OTEL_EXPORTER_OTLP_TIMEOUT 1s: want milliseconds":     environment("EXPORTER_OTLP_ENDPOINT", local, "EXPORTER_OTLP_TIMEOUT", "1s"),
		"OTEL_EXPORTER_OTLP_COMPRESSION zip: want gzip":        environment("EXPORTER_OTLP_ENDPOINT", local, "EXPORTER_OTLP_COMPRESSION", "zip"),
		"OTEL_EXPORTER_OTLP_CERTIFICATE: open /none":           environment("EXPORTER_OTLP_ENDPOINT", local, "EXPORTER_OTLP_CERTIFICATE", "/none"),
	} {
		_, err := newOTLP(env)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
}

// receiver is a collector that answers with status.
type receiver struct {
	*httptest.Server
	status atomic.Int64
	mu     sync.Mutex
	got    []*tracepb.TracesData
	header http.Header
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.status.Store(http.StatusOK)
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status := int(r.status.Load())
	var body io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(body)
	}
	data, _ := io.ReadAll(body)
	var got tracepb.TracesData
	if proto.Unmarshal(data, &got) != nil {
		status = http.StatusBadRequest
	}
	if status == http.StatusOK {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.header = append(r.got, &got), req.Header
	}
	w.WriteHeader(status)
}

// spans are the names of those that it has taken.
func (r *receiver) spans() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, data := range r.got {
		for _, from := range data.ResourceSpans {
			for _, scope := range from.ScopeSpans {
				for _, s := range scope.Spans {
					names = append(names, s.Name)
				}
			}
		}
	}
	return names
}

// TestTraces_Environment cannot run beside others: it sets the process's environment.
func TestTraces_Environment(t *testing.T) {
	r := receive(t)
	log := slog.New(slog.DiscardHandler)
	off, err := OpenTraces(t.Context(), "sluice-test", log)
	require.NoError(t, err)
	require.Equal(t, NoTracer, off.Tracer())
	off.Close()

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token,x-more=1")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	on, err := OpenTraces(t.Context(), "sluice-test", log)
	require.NoError(t, err)
	_, span := on.Tracer().Start(t.Context(), "a")
	span.End()
	on.Close()
	require.Equal(t, []string{"a"}, r.spans())
	require.Equal(t, "Bearer token", r.header.Get("Authorization"))
	require.Equal(t, "1", r.header.Get("X-More"))
	resource := map[string]string{}
	for _, a := range r.got[0].ResourceSpans[0].Resource.Attributes {
		resource[a.Key] = a.Value.GetStringValue()
	}
	require.Equal(t, "sluice-test", resource["service.name"])
	require.Equal(t, Version, resource["service.version"])
	require.Equal(t, "test", resource["deployment.environment.name"])

	t.Setenv("OTEL_SERVICE_NAME", "renamed")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	named, err := OpenTraces(t.Context(), "sluice-test", log)
	require.NoError(t, err)
	_, span = named.Tracer().Start(t.Context(), "b")
	require.False(t, span.IsRecording())
	named.Close()

	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	_, err = OpenTraces(t.Context(), "sluice-test", log)
	require.ErrorContains(t, err, "want http/protobuf")
}

// TestTraces_CollectorAway: who is away holds nobody up and is told of once; what is lost is counted.
func TestTraces_CollectorAway(t *testing.T) {
	r := receive(t)
	var said bytes.Buffer
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
	traces, err := OpenTraces(t.Context(), "sluice-test", slog.New(slog.NewTextHandler(&said, nil)))
	require.NoError(t, err)
	r.status.Store(http.StatusForbidden) // not worth another try
	for range 3 {
		for range 100 { // many more than the queue takes
			_, span := traces.Tracer().Start(t.Context(), "lost")
			span.End()
		}
		require.NoError(t, traces.provider.ForceFlush(t.Context()))
	}
	require.Equal(t, 1, strings.Count(said.String(), "\n"), said.String())
	require.Contains(t, said.String(), "the collector answers 403 Forbidden")
	r.status.Store(http.StatusOK)
	_, span := traces.Tracer().Start(t.Context(), "back")
	span.End()
	traces.Close()
	require.Equal(t, []string{"back"}, r.spans())
	require.Contains(t, said.String(), "the collector takes spans again")
	require.Equal(t, 2, strings.Count(said.String(), "\n"), said.String())
}

// TestTraces_CloseDoesNotWait: a collector that never answers costs a stopping program its limit and no more, and nothing of
// it is left behind, which goleak sees.
func TestTraces_CloseDoesNotWait(t *testing.T) {
	done := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	defer silent.Close()
	defer close(done)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", silent.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
	traces, err := OpenTraces(t.Context(), "sluice-test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, span := traces.Tracer().Start(t.Context(), "a")
	span.End()
	traces.Close()
}

// TestOTLP_TriesAgain while the collector says that it is busy.
func TestOTLP_TriesAgain(t *testing.T) {
	t.Parallel()
	r := receive(t)
	r.status.Store(http.StatusServiceUnavailable)
	o, err := newOTLP(environment("EXPORTER_OTLP_ENDPOINT", r.URL))
	require.NoError(t, err)
	defer o.hangUp()
	defer func() { require.NoError(t, o.Stop(t.Context())) }()
	done := make(chan error, 1)
	go func() { done <- o.UploadTraces(t.Context(), nil) }()
	require.NoError(t, o.Start(t.Context()))
	r.status.Store(http.StatusOK)
	require.NoError(t, <-done)
}

func provider(t *testing.T) (*sdk.TracerProvider, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	p := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans), sdk.WithIDGenerator(ids{}))
	t.Cleanup(func() { require.NoError(t, p.Shutdown(context.WithoutCancel(t.Context()))) })
	return p, spans
}

func TestSeed(t *testing.T) {
	t.Parallel()
	p, _ := provider(t)
	begin := func(ctx context.Context) trace.SpanContext {
		_, span := p.Tracer("").Start(ctx, "a")
		defer span.End()
		return span.SpanContext()
	}
	one, two, other := begin(Seed(t.Context(), "acme:job_1")), begin(Seed(t.Context(), "acme:job_1")), begin(Seed(t.Context(), "acme:job_2"))
	require.Equal(t, one.TraceID(), two.TraceID())
	require.NotEqual(t, one.SpanID(), two.SpanID())
	require.NotEqual(t, one.TraceID(), other.TraceID())
	require.NotEqual(t, one.TraceID(), begin(t.Context()).TraceID(), "without a seed it is any")
	below := begin(trace.ContextWithRemoteSpanContext(Seed(t.Context(), "acme:job_1"), other))
	require.Equal(t, other.TraceID(), below.TraceID(), "a trace that was told of counts")
}

func TestStart_OnlyBelowARecordedSpan(t *testing.T) {
	t.Parallel()
	p, spans := provider(t)
	ctx, span := Start(t.Context(), "none")
	require.False(t, span.IsRecording())
	require.Equal(t, t.Context(), ctx)
	above, root := p.Tracer("").Start(t.Context(), "root")
	_, span = Start(above, "below")
	End(span, completion.NewError(completion.CodeUnavailable, "").Because(io.EOF))
	_, span = Start(above, "refused")
	End(span, completion.ErrHeld)
	root.End()
	ended := spans.Ended()
	require.Len(t, ended, 3)
	require.Equal(t, root.SpanContext().SpanID(), ended[0].Parent().SpanID())
	require.Equal(t, "service_unavailable", ended[0].Status().Description)
	require.Empty(t, ended[0].Events(), "an error's text may quote content")
	require.Empty(t, ended[1].Status())
}

// TestStart_CostsNothing where nothing is traced. It counts, and so cannot run beside others.
func TestStart_CostsNothing(t *testing.T) {
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, span := Start(ctx, "none")
		End(span, nil)
	}))
}

func TestLogger_LinesNameTheirSpan(t *testing.T) {
	t.Parallel()
	p, _ := provider(t)
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		log, err := Config{LogLevel: "info", LogFormat: format}.Logger(&b)
		require.NoError(t, err)
		log.InfoContext(t.Context(), "outside")
		require.NotContains(t, b.String(), "trace_id")
		ctx, span := p.Tracer("").Start(t.Context(), "a")
		log.With("lane", "batch").InfoContext(ctx, "inside")
		span.End()
		require.Contains(t, b.String(), span.SpanContext().TraceID().String())
		require.Contains(t, b.String(), span.SpanContext().SpanID().String())
	}
}
