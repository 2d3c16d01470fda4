// Command worker runs jobs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"sluice/shared/config"
	"sluice/shared/telemetry"
	"sluice/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	program := &worker.Program{}
	parser, err := config.New("worker", "Runs the jobs of Sluice.", program, kong.Vars{"version": "worker " + telemetry.ThisBuild().String()})
	if err == nil {
		_, err = parser.Parse(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "worker: %v (see worker --help)\n", err)
		os.Exit(2)
	}
	if err := program.Start(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}
