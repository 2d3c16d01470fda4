package api

import (
	"net/http"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"sluice/shared/completion"
	"sluice/shared/telemetry"
)

// Names of OpenTelemetry's conventions for HTTP. Of the address only the route is told: a query may hold anything.
const (
	httpMethod = attribute.Key("http.request.method")
	httpRoute  = attribute.Key("http.route")
	httpStatus = attribute.Key("http.response.status_code")
)

// traced has each request below /v1 be a span, of its client's trace if it says one. Probes and the page are left out.
func traced(routes http.Handler, tracer trace.Tracer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tracer == telemetry.NoTracer || !strings.HasPrefix(r.URL.Path, "/v1/") {
			routes.ServeHTTP(w, r)
			return
		}
		ctx := telemetry.W3C.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, method(r), trace.WithSpanKind(trace.SpanKindServer))
		outer := r
		r = r.WithContext(ctx)
		defer func() { outer.Pattern = r.Pattern }() // by which the metrics know the route
		if !span.IsRecording() {
			routes.ServeHTTP(w, r)
			return
		}
		seen := &seenStatus{ResponseWriter: w}
		span.SetAttributes(httpMethod.String(method(r)), telemetry.RequestID.String(completion.RequestID(ctx)))
		defer span.End()
		defer func() { // also after a panic, which is answered further out
			p := recover()
			describe(span, r, seen.status, p != nil)
			if p != nil {
				panic(p)
			}
		}()
		routes.ServeHTTP(seen, r)
	})
}

// describe says on a request's span what became of it. A status of 0 is none: the client has left, or the handler panicked.
func describe(span trace.Span, r *http.Request, status int, panicked bool) {
	if _, route, ok := strings.Cut(r.Pattern, " "); ok {
		span.SetName(method(r) + " " + route)
		span.SetAttributes(httpRoute.String(route))
	}
	if status != 0 {
		span.SetAttributes(httpStatus.Int(status))
	}
	if panicked || status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// method is the request's, if it is one that is known: a span's name is no place for what clients make up.
func method(r *http.Request) string {
	if slices.Contains(methods, r.Method) {
		return r.Method
	}
	return "_OTHER"
}

// seenStatus remembers the status of an answer.
type seenStatus struct {
	http.ResponseWriter
	status int
}

// WriteHeader is that of http.ResponseWriter.
func (s *seenStatus) WriteHeader(status int) {
	if s.status == 0 && status >= http.StatusOK {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write is that of http.ResponseWriter.
func (s *seenStatus) Write(p []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (s *seenStatus) Unwrap() http.ResponseWriter { return s.ResponseWriter }
