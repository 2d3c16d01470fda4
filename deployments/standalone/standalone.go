// Package standalone is the whole product in one process: API and worker over an embedded nats-server, an in-process
// Redis and SQLite in one data folder. It is the same code as the separate programs; only the wiring differs.
//
// What the in-process Redis forgets at exit, the sweeper brings back from SQLite at the next start (I1).
package standalone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"

	"sluice/api"
	"sluice/shared/backend"
	"sluice/shared/credential"
	"sluice/shared/embedded"
	"sluice/shared/modelsim"
	"sluice/shared/service"
	"sluice/shared/telemetry"
	"sluice/worker"
)

// Config of the all-in-one.
type Config struct {
	api.Config
	Worker           worker.Config    `embed:""`
	Settings         backend.Settings `embed:""`
	PrivateAddr      string           `env:"SLUICE_PRIVATE_ADDR" placeholder:"HOST:PORT" help:"Address of metrics, profiles and probes, which clients must not reach, such as 127.0.0.1:9464; empty: none."`
	DataDir          string           `env:"SLUICE_DATA_DIR" default:"./data" help:"Folder for the database, the event log and the content of files."`
	NATSAddr         string           `name:"nats-addr" env:"SLUICE_NATS_ADDR" default:"127.0.0.1:4222" help:"Address of the embedded NATS server."`
	WebSocketAddr    string           `name:"websocket-addr" env:"SLUICE_WEBSOCKET_ADDR" default:"127.0.0.1:8081" help:"Address of its WebSocket listener."`
	WebSocketOrigins []string         `name:"websocket-origins" env:"SLUICE_WEBSOCKET_ORIGINS" help:"Web origins whose pages may connect to it; by default the API's own."`

	Tracer trace.Tracer `kong:"-"` // begins traces; nil: nothing is traced
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	err := errors.Join(c.Config.Validate(), c.Worker.Validate(), c.Settings.Validate())
	if strings.HasPrefix(c.DataDir, "~") {
		err = errors.Join(err, fmt.Errorf("SLUICE_DATA_DIR is %s, where ~ means nothing: write the whole path, or $HOME in a shell", c.DataDir))
	}
	return err
}

// Standalone is the running whole.
type Standalone struct {
	api    *api.API
	worker *worker.Worker
	nats   *embedded.NATS
	sim    *sim // nil with a real upstream
	key    string
	close  []func() error

	private *telemetry.Private
}

// New opens the data folder, starts the embedded servers, applies the migrations and listens. With neither a key nor
// an address of an upstream it starts the simulated model as its upstream.
func New(ctx context.Context, c Config, log *slog.Logger) (_ *Standalone, err error) {
	s := &Standalone{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	unlock, err := lock(c.DataDir)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, unlock)
	if s.private, err = telemetry.Listen(c.PrivateAddr, log); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.private.Close)
	if !c.realUpstream() {
		if s.sim, err = startSim(); err != nil {
			return nil, err
		}
		s.close = append(s.close, s.sim.close)
		c.Worker.UpstreamURL, c.Worker.UpstreamName = s.sim.url, "sim"
		c.UnknownModels = api.PassUnknown // directives are part of a simulated model's name
	}
	back, err := s.backend(ctx, c, log)
	if err != nil {
		return nil, err
	}
	if c.Tracer != nil {
		back.Tracer = c.Tracer
	}
	if s.key, err = localKey(ctx, back.Store, c); err != nil {
		return nil, err
	}
	c.SigningKeys = or(c.SigningKeys, filepath.Join(c.DataDir, natsKeys, credential.SigningFile))
	c.Files.Dir = or(c.Files.Dir, filepath.Join(c.DataDir, "files"))
	c.PublicNATSURL, c.PublicWebSocketURL = or(c.PublicNATSURL, s.NATSURL()), or(c.PublicWebSocketURL, s.WebSocketURL())
	if s.worker, err = worker.New(c.Worker, back, log); err != nil {
		return nil, err
	}
	if s.api, err = api.New(c.Config, back, log); err != nil {
		return nil, err
	}
	s.private.Register(back.Collector(), s.api.Collector(), s.worker.Collector())
	s.private.Ready(s.worker.Ready)
	return s, nil
}

// realUpstream reports whether the settings name an upstream.
func (c Config) realUpstream() bool {
	return c.Worker.UpstreamKey != "" || c.Worker.UpstreamURL != defaultUpstream
}

const defaultUpstream = "https://api.openai.com/v1"

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// backend starts the embedded servers and opens the adapters over them.
func (s *Standalone) backend(ctx context.Context, c Config, log *slog.Logger) (*backend.Backend, error) {
	db, err := openData(ctx, c.DataDir)
	if err != nil {
		return nil, err
	}
	origins := c.WebSocketOrigins
	if len(origins) == 0 {
		origins = ownOrigins(c.HTTPAddr)
	}
	authority, err := credential.Open(filepath.Join(c.DataDir, natsKeys))
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.nats, err = embedded.StartNATS(embedded.NATSConfig{
		Addr: c.NATSAddr, WebSocketAddr: c.WebSocketAddr, Dir: filepath.Join(c.DataDir, "nats"), AllowedOrigins: origins, Authority: authority, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.close = append(s.close, func() error { s.nats.Close(); return nil })
	server, err := embedded.StartRedis()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.close = append(s.close, func() error { server.Close(); return nil })
	nc, err := s.nats.Connect(backend.NATSOptions("all-in-one", log)...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the embedded NATS: %w", err), db.Close())
	}
	back, err := backend.New(backend.Servers{
		Database: db, NATS: nc, Redis: func(slots int) (redis.UniversalClient, error) { return server.Client(slots), nil },
	}, c.Settings, log)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, back.Close)
	if err := back.Log.Setup(ctx); err != nil {
		return nil, err
	}
	return back, back.Store.Alone(ctx) // the data folder's lock says so
}

// ownOrigins are the origins under which a browser reaches the API at addr.
func ownOrigins(addr string) []string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	return []string{"http://127.0.0.1:" + port, "http://localhost:" + port}
}

// HTTPURL is where the API is reached.
func (s *Standalone) HTTPURL() string { return reachable(s.api.URL()) }

// Key is the API key of the local tenant; empty if none is needed.
func (s *Standalone) Key() string { return s.key }

// NATSURL is where viewers reach NATS over TCP.
func (s *Standalone) NATSURL() string { return reachable(s.nats.ClientURL()) }

// WebSocketURL is where viewers reach NATS over WebSocket.
func (s *Standalone) WebSocketURL() string { return reachable(s.nats.WebSocketURL()) }

// PrivateAddr is where metrics, profiles and probes are; empty if they are nowhere.
func (s *Standalone) PrivateAddr() string { return s.private.Addr() }

// Simulated reports whether the simulated model is the upstream.
func (s *Standalone) Simulated() bool { return s.sim != nil }

// Run serves until ctx ends; then the worker drains, the API hangs up, and the servers stop.
func (s *Standalone) Run(ctx context.Context) error {
	err := service.Run(ctx, service.Runner{Name: "private port", Run: s.private.Run},
		service.Runner{Name: "api", Run: s.api.Run}, service.Runner{Name: "worker", Run: s.worker.Run})
	return errors.Join(err, s.Close())
}

// Close releases everything, in the reverse order of opening.
func (s *Standalone) Close() error {
	var err error
	for i := len(s.close) - 1; i >= 0; i-- {
		err = errors.Join(err, s.close[i]())
	}
	s.close = nil
	return err
}

// sim is the simulated model on a socket of its own.
type sim struct {
	url  string
	stop context.CancelFunc
	done chan error
}

func startSim() (*sim, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the simulated model: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &sim{url: "http://" + listener.Addr().String() + "/v1", stop: stop, done: make(chan error, 1)}
	go func() { s.done <- modelsim.New(modelsim.Config{}).Serve(ctx, listener) }()
	return s, nil
}

func (s *sim) close() error {
	s.stop()
	return <-s.done
}
