package worker

import (
	"context"
	"errors"
	"io"

	"sluice/shared/backend"
	"sluice/shared/config"
	"sluice/shared/telemetry"
)

// Program is the command worker: its settings and what it does with them.
type Program struct {
	config.File
	telemetry.Config `embed:""`
	Backend          backend.Config `embed:""`
	Worker           Config         `embed:""`
}

// Validate reports all faults at once.
func (p *Program) Validate() error {
	return errors.Join(p.Backend.Validate(), p.Worker.Validate())
}

// Start opens the servers and runs until ctx ends. The log goes to w.
func (p *Program) Start(ctx context.Context, w io.Writer) (err error) {
	log, err := p.Logger(w)
	if err != nil {
		return err
	}
	back, err := backend.Open(ctx, p.Backend, "worker", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	if err := back.AwaitSchema(ctx, log); err != nil {
		return err
	}
	worker, err := New(p.Worker, back, log)
	if err != nil {
		return err
	}
	return worker.Run(ctx)
}
