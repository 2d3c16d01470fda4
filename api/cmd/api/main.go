// Command api serves the HTTP API.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"sluice/api"
	"sluice/shared/config"
	"sluice/shared/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	program := &api.Program{}
	parser, err := config.New("api", "Serves the HTTP API of Sluice.", program, kong.Vars{"version": "api " + telemetry.ThisBuild().String()})
	if err == nil {
		_, err = parser.Parse(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "api: %v (see api --help)\n", err)
		os.Exit(2)
	}
	if err := program.Start(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}
