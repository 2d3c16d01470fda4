package api

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/meter"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
)

// maxRequestID is the longest x-request-id that is taken over from a client, in bytes.
const maxRequestID = 128

// wrap puts around the routes what holds for every request: an id, safe headers, an answer after a panic, a log line.
func wrap(routes http.Handler, m *meter.Meter, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeLimit)) // a connection that is gone needs none
		begin := time.Now()
		r = r.WithContext(completion.WithRequestID(r.Context(), id))
		answer := m.Begin(w, r)
		defer answer.End()
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
				panic(p) // the connection shall break, so that nobody takes half an answer for a whole one
			}
			if p != nil {
				log.Error("request panicked", "request_id", id, "panic", p, "stack", string(debug.Stack()))
				problem.Write(answer, fmt.Errorf("panic: %v", p))
			}
			log.Debug("request", "request_id", id, "method", r.Method, "path", r.URL.Path, "took", time.Since(begin))
		}()
		routes.ServeHTTP(answer, r)
	})
}

// writeLimit is how long a request may take, body and answer together. Event streams set limits of their own.
const writeLimit = 2 * time.Minute

// requestID is the client's, if it is one, or a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			id = ""
			break
		}
	}
	if id == "" || len(id) > maxRequestID {
		return "req_" + rand.Text()
	}
	return id
}

// envelope answers in the error envelope where the mux would answer in plain text: no such route, no such method.
func envelope(mux *http.ServeMux, doc *huma.OpenAPI) http.Handler {
	there := endpoints(doc)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		bare := &bareAnswer{header: http.Header{}}
		h.ServeHTTP(bare, r)
		if location := bare.header.Get("Location"); location != "" {
			http.Redirect(w, r, location, bare.status)
			return
		}
		if allow := bare.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			problem.Write(w, completion.NewError(completion.CodeMethod, fmt.Sprintf("%s is not allowed here; there is %s.", r.Method, allow)))
			return
		}
		problem.Write(w, completion.NewError(completion.CodeNotFound, "There is no such route. "+there))
	})
}

// endpoints names what there is under /v1, for those who ask for something else.
func endpoints(doc *huma.OpenAPI) string {
	var paths []string
	for path := range doc.Paths {
		if strings.HasPrefix(path, "/v1/") && strings.Count(path, "/") <= 3 && !strings.Contains(path, "{") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return "There are " + strings.Join(paths, ", ") + "; /docs lists all."
}

// bareAnswer keeps the status and headers of an answer and drops its body.
type bareAnswer struct {
	header http.Header
	status int
}

func (b *bareAnswer) Header() http.Header         { return b.header }
func (b *bareAnswer) WriteHeader(status int)      { b.status = status }
func (b *bareAnswer) Write(p []byte) (int, error) { return len(p), nil }
