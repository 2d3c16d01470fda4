package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"sluice/shared/credential"
)

// NATSConfig says where the in-process nats-server listens and keeps its data.
type NATSConfig struct {
	// Addr is the host:port for NATS clients over TCP; port 0 picks a free one. Empty: in-process clients only.
	Addr string
	// WebSocketAddr is the host:port for NATS over WebSocket, without TLS; port 0 picks a free one. Empty: off.
	WebSocketAddr string
	// Dir holds JetStream's files. Required.
	Dir string
	// AllowedOrigins are the web origins that may connect over WebSocket. Empty: any.
	AllowedOrigins []string
	// MaxStore is how many bytes all streams together may reserve. 0: 16 GiB.
	MaxStore int64
	// Authority has the accounts and users. Streams belong to its accounts: with another Authority, they are not seen. nil:
	// a new one.
	Authority *credential.Authority
	// Log receives the server's warnings and errors. nil: slog.Default().
	Log *slog.Logger
}

// NATS is a running nats-server with JetStream, in operator mode like one in production (see package credential).
type NATS struct {
	server    *server.Server
	authority *credential.Authority
	web       bool
	log       *slog.Logger
}

const natsStart = 10 * time.Second

// StartNATS starts the server and waits until it takes connections. A port in use is an error that names the setting.
func StartNATS(cfg NATSConfig) (*NATS, error) {
	if cfg.Dir == "" {
		return nil, errors.New("start nats: Dir must name a folder for JetStream's files")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Authority == nil {
		var err error
		if cfg.Authority, err = credential.New(credential.Limits{}); err != nil {
			return nil, fmt.Errorf("start nats: %w", err)
		}
	}
	opts, err := natsOptions(cfg)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	sink := &natsLog{log: cfg.Log.With("part", "nats")}
	s.SetLoggerV2(sink, false, false, false)
	s.Start()
	n := &NATS{server: s, authority: cfg.Authority, web: cfg.WebSocketAddr != "", log: sink.log}
	if fault := sink.fault(); fault != "" {
		n.Close()
		return nil, fmt.Errorf("start nats: %s", fault)
	}
	if !s.ReadyForConnections(natsStart) {
		n.Close()
		return nil, fmt.Errorf("start nats: not ready within %s", natsStart)
	}
	return n, nil
}

func natsOptions(cfg NATSConfig) (*server.Options, error) {
	host, port, err := listenable("SLUICE_NATS_ADDR", cfg.Addr)
	if err != nil {
		return nil, err
	}
	wsHost, wsPort, err := listenable("SLUICE_WEBSOCKET_ADDR", cfg.WebSocketAddr)
	if err != nil {
		return nil, err
	}
	if cfg.MaxStore == 0 {
		cfg.MaxStore = 16 << 30
	}
	o := &server.Options{
		ServerName:             "sluice",
		Host:                   host,
		Port:                   port,
		DontListen:             cfg.Addr == "",
		NoSigs:                 true,
		DisableJetStreamBanner: true,
		JetStream:              true,
		StoreDir:               cfg.Dir,
		JetStreamMaxStore:      cfg.MaxStore,
		MaxPayload:             1 << 20,
		MaxPending:             4 << 20, // a reader that falls this far behind is cut off and replays
		WriteDeadline:          5 * time.Second,
		PingInterval:           25 * time.Second, // below the idle limit of common proxies
		Websocket: server.WebsocketOpts{
			Host:             wsHost,
			Port:             wsPort,
			NoTLS:            true,
			AllowedOrigins:   cfg.AllowedOrigins,
			HandshakeTimeout: 5 * time.Second,
		},
	}
	return o, trust(o, cfg.Authority)
}

// trust puts the server into operator mode.
func trust(o *server.Options, a *credential.Authority) error {
	operator, err := jwt.DecodeOperatorClaims(a.OperatorJWT)
	if err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	accounts := &server.MemAccResolver{}
	for _, account := range []credential.Account{a.System, a.Sluice, a.Viewers} {
		if err := accounts.Store(account.Key, account.JWT); err != nil {
			return fmt.Errorf("account %s: %w", account.Name, err)
		}
	}
	o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{operator}, a.System.Key, accounts
	return nil
}

// listenable splits addr into what nats-server wants (-1: any free port, 0: off) after making sure that the address
// can be had: the server itself reports a failed listener to its log only.
func listenable(option, addr string) (host string, port int, err error) {
	if addr == "" {
		return "", 0, nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", 0, fmt.Errorf("listen on %s (set %s to another address): %w", addr, option, err)
	}
	if err := l.Close(); err != nil {
		return "", 0, fmt.Errorf("probe %s: %w", addr, err)
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", option, err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port, err = strconv.Atoi(text); err != nil {
		return "", 0, fmt.Errorf("%s: port %q is not a number", option, text)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// Connect returns a connection that may do everything, over an in-process pipe. It reconnects for ever. The caller
// closes it, before the server.
func (n *NATS) Connect(opts ...nats.Option) (*nats.Conn, error) {
	who, err := credential.Options(n.authority.Users[credential.Whole])
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded nats: %w", err)
	}
	opts = append(append(who, nats.InProcessServer(n.server), nats.MaxReconnects(-1), nats.ErrorHandler(n.warn)), opts...)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded nats: %w", err)
	}
	return nc, nil
}

// warn logs what nats.go reports out of band. A slow subscription is no fault: who reads slowly looks at the log again.
func (n *NATS) warn(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	level := slog.LevelWarn
	if errors.Is(err, nats.ErrSlowConsumer) {
		level = slog.LevelDebug
	}
	n.log.Log(context.Background(), level, "nats connection", "error", err, "subject", subject)
}

// ClientURL is where viewers connect over TCP; empty without Addr.
func (n *NATS) ClientURL() string {
	if n.server.Addr() == nil {
		return ""
	}
	return n.server.ClientURL()
}

// Authority is whose users may connect.
func (n *NATS) Authority() *credential.Authority { return n.authority }

// WebSocketURL is where viewers connect over WebSocket; empty without WebSocketAddr.
func (n *NATS) WebSocketURL() string {
	if !n.web {
		return ""
	}
	return n.server.WebsocketURL()
}

// Run waits until ctx ends and then stops the server.
func (n *NATS) Run(ctx context.Context) error {
	<-ctx.Done()
	n.Close()
	return nil
}

// Close stops the server and waits until its files are closed. Further calls do nothing.
func (n *NATS) Close() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}
