package worker

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

// Program is the command worker: its settings and what it does with them.
type Program struct {
	Version kong.VersionFlag `help:"Print the version."`
	config.File
	telemetry.Config `embed:""`
	PrivateAddr      string         `env:"SLUICE_PRIVATE_ADDR" default:"127.0.0.1:9465" help:"Address of metrics, profiles and probes, which clients must not reach; empty: none. Several workers on a machine need one each."`
	Backend          backend.Config `embed:""`
	Worker           Config         `embed:""`
}

// Validate reports all faults at once.
func (p *Program) Validate() error {
	return errors.Join(p.Backend.Validate(), p.Worker.Validate())
}

// Start opens the servers and runs until ctx ends. The log goes to w.
func (p *Program) Start(ctx context.Context, w io.Writer) error {
	log, err := p.Logger(w)
	if err != nil {
		return err
	}
	traces, err := telemetry.OpenTraces(ctx, "sluice-worker", log)
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
	back, err := backend.Open(ctx, p.Backend, "worker", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	back.Tracer = tracer
	if err := back.AwaitSchema(ctx, log); err != nil {
		return err
	}
	worker, err := New(p.Worker, back, log)
	if err != nil {
		return err
	}
	private.Register(back.Collector(), worker.Collector())
	private.Ready(worker.Ready)
	return worker.Run(ctx)
}
