package api

import (
	"context"
	"errors"
	"io"

	"github.com/alecthomas/kong"

	"sluice/shared/backend"
	"sluice/shared/config"
	"sluice/shared/telemetry"
)

// Program is the command api: its settings and what it does with them.
type Program struct {
	Version kong.VersionFlag `help:"Print the version."`
	config.File
	telemetry.Config `embed:""`
	Backend          backend.Config `embed:""`
	API              Config         `embed:""`
}

// Validate reports all faults at once.
func (p *Program) Validate() error {
	return errors.Join(p.Backend.Validate(), p.API.Validate())
}

// Start opens the servers and runs until ctx ends. The log goes to w.
func (p *Program) Start(ctx context.Context, w io.Writer) (err error) {
	log, err := p.Logger(w)
	if err != nil {
		return err
	}
	back, err := backend.Open(ctx, p.Backend, "api", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
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
	log.Info("listening", "addr", a.Addr().String())
	return a.Run(ctx)
}
