package meter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Begin observes that r came. It is to be answered over what comes back, and gets its pattern from the routes meanwhile.
func (m *Meter) Begin(w http.ResponseWriter, r *http.Request) *Answer {
	return &Answer{ResponseWriter: w, meter: m, request: r, since: time.Now()}
}

// Answer is a ResponseWriter that notices when the answer begins, and with what.
type Answer struct {
	http.ResponseWriter

	meter   *Meter
	request *http.Request
	since   time.Time
	code    int    // 0: it has not begun
	stream  string // kind of event stream; empty: it is none
}

// Unwrap is http.ResponseController's.
func (a *Answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader is http.ResponseWriter's.
func (a *Answer) WriteHeader(code int) {
	if code >= http.StatusOK {
		a.begin(code)
	}
	a.ResponseWriter.WriteHeader(code)
}

// Write is http.ResponseWriter's.
func (a *Answer) Write(p []byte) (int, error) {
	a.begin(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

func (a *Answer) begin(code int) {
	if a.code != 0 {
		return
	}
	a.code = code
	route, method := name(a.request)
	a.meter.seconds.WithLabelValues(route, method).Observe(time.Since(a.since).Seconds())
	if strings.HasPrefix(a.Header().Get("Content-Type"), "text/event-stream") {
		a.stream = kind(route)
		a.meter.streams.WithLabelValues(a.stream).Inc()
	}
}

// End counts the request.
func (a *Answer) End() {
	if a.stream != "" {
		a.meter.streams.WithLabelValues(a.stream).Dec()
	}
	a.begin(http.StatusOK) // as net/http answers for a handler that has said nothing
	route, method := name(a.request)
	a.meter.requests.WithLabelValues(route, method, strconv.Itoa(a.code)).Inc()
}

// name is a request's route and method, of which there are only so many, whatever clients ask for.
func name(r *http.Request) (route, method string) {
	_, route, _ = strings.Cut(r.Pattern, " ")
	if route == "" {
		route = r.Pattern // of any method
	}
	if route == "" {
		route = "none"
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return route, r.Method
	default:
		return route, "other"
	}
}
