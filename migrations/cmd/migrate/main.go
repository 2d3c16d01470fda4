// Command migrate brings the schema of the database up to date, or back.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/alecthomas/kong"

	"sluice/migrations"
)

// version is stamped at build time, as that of the other programs in sluice/shared/telemetry is, which this one does without.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	program := &migrations.Program{}
	parser := kong.Must(program, kong.Name("migrate"), kong.Description("Brings the schema of the database up to date, or back."),
		kong.Vars{"version": fmt.Sprintf("migrate %s (%s)", version, runtime.Version())})
	command, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "migrate: %v (see migrate --help)\n", err)
		os.Exit(2)
	}
	if err := program.Start(ctx, command.Command(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}
