// Package api is the public seam of the HTTP API: its command, the all-in-one program and the tests that run it use
// nothing else.
//
// It accepts jobs, answers for them, and serves their events; it generates nothing. Any number of processes may run
// side by side. Besides HTTP it answers viewers' replay requests on NATS, brings jobs back that the queue has lost, looks after
// batches, and deletes what is old.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/api/internal/blob"
	"sluice/api/internal/delivery"
	"sluice/api/internal/files"
	"sluice/api/internal/meter"
	"sluice/api/internal/request"
	"sluice/api/internal/sse"
	"sluice/api/internal/system"
	"sluice/shared/backend"
	"sluice/shared/completion"
	"sluice/shared/pruner"
	"sluice/shared/service"
	"sluice/shared/telemetry"
)

// Config of an API process.
type Config struct {
	HTTPAddr           string        `name:"http-addr" env:"SLUICE_HTTP_ADDR" default:"127.0.0.1:8080" help:"Address of the HTTP API."`
	Auth               string        `env:"SLUICE_AUTH" default:"on" enum:"on,off" help:"on: every request needs an API key. off: everybody is the tenant SLUICE_TENANT; for loopback addresses only."`
	Tenant             string        `env:"SLUICE_TENANT" default:"local" help:"Tenant that owns what is submitted without a key: 1 to 64 of a-z, 0-9, _ and -."`
	TLSCert            string        `name:"tls-cert" env:"SLUICE_TLS_CERT" placeholder:"FILE" help:"Certificate for HTTPS, in PEM, with its chain; read anew when it changes."`
	TLSKey             string        `name:"tls-key" env:"SLUICE_TLS_KEY" placeholder:"FILE" help:"Its private key."`
	CORSOrigins        []string      `name:"cors-origins" env:"SLUICE_CORS_ORIGINS" help:"Web origins whose pages may use the HTTP API, such as https://app.example.org; none by default."`
	InteractiveTimeout time.Duration `env:"SLUICE_INTERACTIVE_TIMEOUT" default:"1h" help:"An interactive job that says nothing about it must have ended after this long, or expires. At most 168h."`
	BatchTimeout       time.Duration `env:"SLUICE_BATCH_TIMEOUT" default:"24h" help:"The same for a batch job."`
	PublicNATSURL      string        `name:"public-nats-url" env:"SLUICE_PUBLIC_NATS_URL" help:"NATS address that clients are told, several separated by commas; by default where the API itself finds it."`
	PublicWebSocketURL string        `name:"public-websocket-url" env:"SLUICE_PUBLIC_WEBSOCKET_URL" help:"NATS WebSocket address that clients are told."`
	SigningKeys        string        `name:"nats-signing-keys" env:"SLUICE_NATS_SIGNING_KEYS" placeholder:"FILE" help:"The file signing.json of sluice nats init, to mint viewers' credentials with. Without it clients are not told of NATS, and follow over HTTP."`
	CredentialTTL      time.Duration `name:"credential-ttl" env:"SLUICE_CREDENTIAL_TTL" default:"10m" help:"How long a viewer's NATS credential is valid. From 5s to 24h."`
	UnknownModels      string        `env:"SLUICE_UNKNOWN_MODELS" default:"refuse" enum:"refuse,pass" help:"What becomes of an OpenAI request for a model that no upstream lists: refuse answers 404, pass asks the upstream, for those that serve more than they list."`
	ChatParameters     string        `name:"chat-parameters" env:"SLUICE_CHAT_PARAMETERS" placeholder:"JSON" help:"How turns of conversations are answered where neither they nor their tenant say: a JSON object, such as {\"model\":\"gpt-5\",\"context_tokens\":50000}. context_messages is 200 and context_tokens 24000 if nobody says; the model is the first that is served."`
	ChatSystem         string        `name:"chat-system" env:"SLUICE_CHAT_SYSTEM" help:"System message of new conversations that bring none, where their tenant has none either."`
	ChatNaming         string        `name:"chat-naming" env:"SLUICE_CHAT_NAMING" default:"on" enum:"on,off" help:"on: a conversation without a name gets one after an answer, by a job of the batch lane."`
	Heartbeat          time.Duration `env:"SLUICE_HEARTBEAT" default:"15s" help:"Pause between comments on an idle event stream."`
	ClientLimit        time.Duration `env:"SLUICE_CLIENT_LIMIT" default:"30s" help:"Longest a client may take to read one event, or to send or read one piece of a file, before it is cut off."`
	StopLimit          time.Duration `env:"SLUICE_STOP_LIMIT" default:"10s" help:"Longest a stopping API waits for requests to end."`

	Webhooks  delivery.Config `embed:""`
	Files     blob.Config     `embed:""`
	Retention pruner.Config   `embed:""`
}

// Validate reports all faults of c at once.
func (c Config) Validate() error {
	err := errors.Join(c.Webhooks.Validate(), c.Files.Validate(), c.Retention.Validate())
	if _, bad := c.preset(); bad != nil {
		err = errors.Join(err, bad)
	}
	if !completion.ValidToken(c.Tenant) {
		err = errors.Join(err, fmt.Errorf("tenant %q: want 1 to 64 of a-z, 0-9, _ and -", c.Tenant))
	}
	if !c.NeedsKeys() && !loopback(c.HTTPAddr) {
		err = errors.Join(err, fmt.Errorf("auth off: everybody who reaches %s would own everything; listen on a loopback address, or turn SLUICE_AUTH on", c.HTTPAddr))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		err = errors.Join(err, errors.New("TLS: want both a certificate and its key, or neither"))
	}
	if c.CredentialTTL < minCredential || c.CredentialTTL > maxCredential {
		err = errors.Join(err, fmt.Errorf("credential TTL %s: want %s to %s", c.CredentialTTL, minCredential, maxCredential))
	}
	for _, o := range c.CORSOrigins {
		if u, bad := url.Parse(o); bad != nil || u.Host == "" || u.Scheme+"://"+u.Host != o {
			err = errors.Join(err, fmt.Errorf("CORS origin %q: want https://HOST or http://HOST:PORT", o))
		}
	}
	for name, d := range map[string]time.Duration{"interactive timeout": c.InteractiveTimeout, "batch timeout": c.BatchTimeout} {
		if d > request.MaxTimeout {
			err = errors.Join(err, fmt.Errorf("%s %s: want at most %s", name, d, request.MaxTimeout))
		}
	}
	for name, d := range map[string]time.Duration{
		"interactive timeout": c.InteractiveTimeout, "batch timeout": c.BatchTimeout,
		"heartbeat": c.Heartbeat, "client limit": c.ClientLimit, "stop limit": c.StopLimit,
	} {
		if d <= 0 {
			err = errors.Join(err, fmt.Errorf("%s %s: want more than 0", name, d))
		}
	}
	return err
}

const (
	authOff       = "off"
	minCredential = 5 * time.Second
	maxCredential = 24 * time.Hour
)

// PassUnknown is the UnknownModels that asks the upstream.
const PassUnknown = "pass"

// NeedsKeys reports whether requests need an API key.
func (c Config) NeedsKeys() bool { return c.Auth != authOff }

// loopback reports whether only this machine reaches addr.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// API serves HTTP.
type API struct {
	config   Config
	back     *backend.Backend
	blobs    blob.Store
	counter  *system.Counter
	meter    *meter.Meter
	core     core
	log      *slog.Logger
	listener net.Listener
	server   *http.Server
	hangUp   context.CancelCauseFunc // ends the event streams
}

// Limits on what a client may send before its request is read.
const (
	headerLimit = 10 * time.Second
	idleLimit   = 2 * time.Minute
	headerBytes = 64 << 10
)

// New listens on the configured address, so that a port in use is an error here, and builds the routes.
func New(c Config, back *backend.Backend, log *slog.Logger) (*API, error) {
	blobs, err := blob.New(c.Files)
	if err != nil {
		return nil, err
	}
	stopping, hangUp := context.WithCancelCause(context.Background())
	a := &API{
		config: c, back: back, blobs: blobs, log: log, hangUp: hangUp, counter: system.NewCounter(back.Queue, log),
		meter: meter.New(meter.View{Replays: back.Log.Replays, Store: back.Store, Queue: back.Queue}),
	}
	if a.core, err = c.core(back, a.accepted, log); err != nil {
		hangUp(err)
		return nil, err
	}
	routes, err := routes(stopping, c, back, blobs, a.core, log)
	if err != nil {
		hangUp(err)
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", c.HTTPAddr)
	if err != nil {
		hangUp(err)
		return nil, fmt.Errorf("listen for HTTP on %s (set SLUICE_HTTP_ADDR to use another address): %w", c.HTTPAddr, err)
	}
	a.listener = listener
	if c.TLSCert != "" {
		if a.listener, err = secure(listener, c.TLSCert, c.TLSKey); err != nil {
			hangUp(err)
			return nil, errors.Join(err, listener.Close())
		}
	}
	a.server = &http.Server{
		Handler: wrap(routes, a.meter, log), ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: headerBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return a, nil
}

// accepted counts n jobs that were taken in.
func (a *API) accepted(lane completion.Lane, e completion.Endpoint, n int) {
	a.counter.Add(lane, n)
	a.meter.Accepted(lane, e, n)
}

// Metrics are those of an API process, besides those of every program.
func Metrics() []telemetry.Metric { return meter.New(meter.View{}).Metrics() }

// Collector has the metrics of a.
func (a *API) Collector() prometheus.Collector { return a.meter }

// Addr is where the API listens.
func (a *API) Addr() net.Addr { return a.listener.Addr() }

// URL is where this machine reaches the API.
func (a *API) URL() string {
	scheme := "http://"
	if a.config.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + a.listener.Addr().String()
}

// Run serves until ctx ends, then hangs up on the event streams, telling them where to resume, and lets the other
// requests finish.
func (a *API) Run(ctx context.Context) error {
	return service.Run(ctx,
		service.Runner{Name: "replay", Run: a.back.Log.ServeReplay},
		service.Runner{Name: "sweeper", Run: a.back.Sweeper(a.log).Run},
		service.Runner{Name: "counter", Run: a.counter.Run},
		service.Runner{Name: "limits", Run: a.back.Limit.Run},
		service.Runner{Name: "webhooks", Run: a.deliver},
		service.Runner{Name: "files", Run: files.NewJanitor(observed{a.back.Store, a.meter}, a.blobs, a.log).Run},
		service.Runner{Name: "pruner", Run: a.prune},
		service.Runner{Name: "batches", Run: a.conduct},
		service.Runner{Name: "conversations", Run: a.keep},
		service.Runner{Name: "http", Run: a.serve},
	)
}

func (a *API) serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- a.server.Serve(a.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	a.hangUp(sse.ErrStopping)
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.StopLimit)
	defer cancel()
	err := a.server.Shutdown(limit)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut after %s: %w", a.config.StopLimit, err), a.server.Close())
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve HTTP: %w", served))
	}
	return err
}
