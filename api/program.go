package api

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/alecthomas/kong"
	"go.opentelemetry.io/otel/trace"

	"sluice/shared/backend"
	"sluice/shared/config"
	"sluice/shared/service"
	"sluice/shared/telemetry"
)

// Program is the command api: its settings and what it does with them.
type Program struct {
	Version kong.VersionFlag `help:"Print the version."`
	config.File
	telemetry.Config `embed:""`
	PrivateAddr      string         `env:"SLUICE_PRIVATE_ADDR" default:"127.0.0.1:9464" help:"Address of metrics, profiles and probes, which clients must not reach; empty: none."`
	Backend          backend.Config `embed:""`
	API              Config         `embed:""`
}

// Validate reports all faults at once.
func (p *Program) Validate() error {
	return errors.Join(p.Backend.Validate(), p.API.Validate())
}

// Start opens the servers and runs until ctx ends. The log goes to w.
func (p *Program) Start(ctx context.Context, w io.Writer) error {
	log, err := p.Logger(w)
	if err != nil {
		return err
	}
	traces, err := telemetry.OpenTraces(ctx, "sluice-api", log)
	if err != nil {
		return err
	}
	defer traces.Close()
	private, err := telemetry.Listen(p.PrivateAddr, log)
	if err != nil {
		return err
	}
	return service.Run(ctx, service.Runner{Name: "private port", Run: private.Run}, service.Runner{
		Run: func(ctx context.Context) error { return p.run(ctx, private, traces.Tracer(), log) },
	})
}

func (p *Program) run(ctx context.Context, private *telemetry.Private, tracer trace.Tracer, log *slog.Logger) (err error) {
	back, err := backend.Open(ctx, p.Backend, "api", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	back.Tracer = tracer
	if err := back.Log.Ensure(ctx); err != nil {
		return err
	}
	if p.API.PublicNATSURL == "" {
		p.API.PublicNATSURL = back.NATSURL()
	}
	a, err := New(p.API, back, log)
	if err != nil {
		return err
	}
	private.Register(back.Collector(), a.Collector())
	private.Ready(back.Ready)
	log.Info("listening", "addr", a.Addr().String())
	return a.Run(ctx)
}
