package modelsim

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Config are the options of a Sim.
type Config struct {
	APIKey          string        // if set, requests must carry it as their bearer token; default: none
	TokensPerSecond float64       // pace of the model "sim"; default 40
	FirstToken      time.Duration // delay of its first token; default 200 ms
}

// Stats are a Sim's counters since it was made.
type Stats struct {
	Requests    int64            `json:"requests"`    // completions and embeddings asked for
	InFlight    int64            `json:"in_flight"`   // of those, being answered
	Disconnects int64            `json:"disconnects"` // clients that left in mid-answer
	Keys        map[string]int64 `json:"keys"`        // requests by the directive "key"
}

// Sim is the simulated model, an http.Handler. Make it with New. It is safe for concurrent use.
type Sim struct {
	cfg   Config
	mux   *http.ServeMux
	ctx   context.Context // ends with Close
	close context.CancelFunc

	requests, inFlight, disconnects atomic.Int64

	mu      sync.Mutex
	keys    map[string]int64
	windows map[string]window
}

const completionsPath = "/v1/completions"

// New returns a Sim. It starts nothing; the caller serves it, with Serve or with a server of its own.
func New(cfg Config) *Sim {
	if cfg.TokensPerSecond <= 0 {
		cfg.TokensPerSecond = 40
	}
	if cfg.FirstToken <= 0 {
		cfg.FirstToken = 200 * time.Millisecond
	}
	s := &Sim{cfg: cfg, mux: http.NewServeMux(), keys: map[string]int64{}, windows: map[string]window{}}
	s.ctx, s.close = context.WithCancel(context.Background())
	s.mux.HandleFunc("POST /v1/chat/completions", s.complete)
	s.mux.HandleFunc("POST "+completionsPath, s.complete)
	s.mux.HandleFunc("POST /v1/embeddings", s.embed)
	s.mux.HandleFunc("POST /v1/responses", s.respond)
	s.mux.HandleFunc("GET /v1/models", s.listModels)
	s.mux.HandleFunc("GET /v1/models/{id}", s.getModel)
	s.mux.HandleFunc("GET /sim/stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Stats()) })
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeFailure(w, &failure{Status: http.StatusNotFound, Message: "Unknown request URL: " + r.Method + " " + r.URL.Path})
	})
	return s
}

// Close drops every answer in progress and all later ones. A server of the caller's own needs it before its Shutdown
// (http.Server.RegisterOnShutdown), which otherwise waits for the answers to end.
func (s *Sim) Close() { s.close() }

// Serve serves on l until ctx ends, then drops all connections and returns nil. It returns an error when it can no
// longer accept connections. It closes the Sim.
func (s *Sim) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer s.Close()
	select {
	case err := <-done:
		return fmt.Errorf("serve simulated model: %w", err)
	case <-ctx.Done():
	}
	s.Close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop simulated model: %w", err)
	}
	return nil
}

// Stats returns the counters.
func (s *Sim) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Requests: s.requests.Load(), InFlight: s.inFlight.Load(), Disconnects: s.disconnects.Load(), Keys: maps.Clone(s.keys)}
}

// count notes a request of key and returns how many came before it.
func (s *Sim) count(key string) int64 {
	if key == "" {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key]++
	return s.keys[key] - 1
}

func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", fmt.Sprintf("req_sim%d", time.Now().UnixNano()))
	if s.cfg.APIKey != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+s.cfg.APIKey)) == 0 {
		writeFailure(w, &failure{Status: http.StatusUnauthorized, Code: "invalid_api_key", Message: "Incorrect API key provided."})
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Sim) complete(w http.ResponseWriter, r *http.Request) {
	serial := s.requests.Add(1)
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	a, bad := s.prepare(w, r, serial)
	if bad != nil {
		writeFailure(w, bad)
		return
	}
	s.send(w, r, a.send)
}

// send runs what writes an answer until it is done, the client leaves or the Sim is closed.
func (s *Sim) send(w http.ResponseWriter, r *http.Request, write func(context.Context, http.ResponseWriter) error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	switch err := write(ctx, w); {
	case err == nil:
		return
	case errors.Is(err, errGone) && s.ctx.Err() == nil:
		s.disconnects.Add(1)
	}
	panic(http.ErrAbortHandler) // net/http's way to drop a connection in mid-answer
}

// prepare reads the request and decides on the answer.
func (s *Sim) prepare(w http.ResponseWriter, r *http.Request, serial int64) (*answer, *failure) {
	req, bad := readRequest(w, r)
	if bad != nil {
		return nil, bad
	}
	script, bad := s.play(w, req.Model)
	if bad != nil {
		return nil, bad
	}
	return newAnswer(req, script, serial)
}

// play returns what the model's name says that this request shall meet, or the failure if it is to fail.
func (s *Sim) play(w http.ResponseWriter, model string) (script, *failure) {
	p, bad := s.script(model)
	if bad != nil {
		return p, bad
	}
	if n := s.count(p.key); p.times > 0 && n >= int64(p.times) {
		p.faults = noFaults
	}
	if p.fail != 0 {
		return p, p.failure(w.Header())
	}
	if wait := s.excess(p.key, p.limit); wait > 0 {
		return p, overLimit(w.Header(), wait)
	}
	return p, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only if the client has gone
}
