package main

import (
	"context"
	"fmt"
	"net"

	"sluice/shared/modelsim"
)

type simCmd struct {
	Addr string `env:"SLUICE_SIM_ADDR" default:"127.0.0.1:8090" help:"Address to listen on."`
}

// Help is kong's.
func (c *simCmd) Help() string {
	return "The model's name scripts the answer: sim, or sim? with directives, for instance sim?tps=20&fail=429&times=2&key=a.\n\n" + modelsim.Directives()
}

// Run is kong's.
func (c *simCmd) Run(ctx context.Context, t *terminal) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s (set SLUICE_SIM_ADDR to use another address): %w", c.Addr, err)
	}
	fmt.Fprintf(t.out, "simulated model at http://%s/v1, Ctrl-C stops\n", listener.Addr())
	return modelsim.New(modelsim.Config{}).Serve(ctx, listener)
}
