package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the private port.
const (
	privateHeader = 5 * time.Second
	privateIdle   = 2 * time.Minute
	privateWrite  = 30 * time.Second // package pprof allows itself as long as a profile takes
	privateStop   = time.Second      // what still runs then is cut
	privateReady  = 2 * time.Second  // one check of readiness
	privateScrape = 10 * time.Second
	privateCrowd  = 8 // scrapes at once
)

// Private is a program's port for those who run the installation, which clients never reach: metrics, profiles, what was
// built, and whether it lives and is ready. It asks for no key: listen on an address that only they reach.
type Private struct {
	listener net.Listener // nil: it serves nothing
	registry *prometheus.Registry
	ready    atomic.Pointer[func(context.Context) error]
	server   *http.Server
	log      *slog.Logger
}

// Listen takes the address, so that one in use is an error here. With an empty one the Private serves nothing; all else
// works as ever.
func Listen(addr string, log *slog.Logger) (*Private, error) {
	p := &Private{registry: prometheus.NewRegistry(), log: log}
	p.Register(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), built())
	if addr == "" {
		return p, nil
	}
	var err error
	if p.listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", addr); err != nil {
		return nil, fmt.Errorf("listen for metrics and probes on %s (set SLUICE_PRIVATE_ADDR to use another address): %w", addr, err)
	}
	p.server = &http.Server{
		Handler: p.routes(), ReadHeaderTimeout: privateHeader, ReadTimeout: privateHeader, WriteTimeout: privateWrite, IdleTimeout: privateIdle,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p, nil
}

// built is the metric that says what was built.
func built() prometheus.Collector {
	b, s := ThisBuild(), &Set{}
	s.Gauge("build_info", "Always 1; what the program was built from.", buildLabels...).WithLabelValues(b.Version, b.Revision, b.Go).Set(1)
	return s
}

var buildLabels = []string{"version", "revision", "go"}

// Metrics are those of every program, whatever it does.
func Metrics() []Metric { return built().(*Set).Metrics() }

// Register adds metrics. It panics if one is there already.
func (p *Private) Register(c ...prometheus.Collector) { p.registry.MustRegister(c...) }

// Ready sets the check that /readyz makes; until then the program is not ready.
func (p *Private) Ready(check func(context.Context) error) { p.ready.Store(&check) }

// Addr is where it listens; empty if it does not.
func (p *Private) Addr() string {
	if p.listener == nil {
		return ""
	}
	return p.listener.Addr().String()
}

func (p *Private) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: privateCrowd, Timeout: privateScrape,
	}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /buildinfo", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, ThisBuild()) })
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, status{Status: "ok"}) })
	mux.HandleFunc("GET /readyz", p.readyz)
	return mux
}

// status answers a probe.
type status struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

var errStarting = errors.New("the program is starting")

func (p *Private) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), privateReady)
	defer cancel()
	err := errStarting
	if check := p.ready.Load(); check != nil {
		err = (*check)(ctx)
	}
	if err != nil {
		say(w, http.StatusServiceUnavailable, status{Status: "unavailable", Reason: err.Error()})
		return
	}
	say(w, http.StatusOK, status{Status: "ok"})
}

func say(w http.ResponseWriter, code int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // whoever asked may be gone
}

// Run serves until ctx ends.
func (p *Private) Run(ctx context.Context) error {
	if p.listener == nil {
		return nil
	}
	p.log.Info("serving metrics and probes", "private_addr", p.Addr())
	failed := make(chan error, 1)
	go func() { failed <- p.server.Serve(p.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve metrics and probes: %w", err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), privateStop)
	defer cancel()
	if p.server.Shutdown(limit) != nil {
		_ = p.server.Close() // whoever reads a profile hears that the program stops
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics and probes: %w", err)
	}
	return nil
}

// Close gives the address back, for a Private that has never run.
func (p *Private) Close() error {
	if p.listener == nil {
		return nil
	}
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the private port: %w", err)
	}
	return nil
}
