// Command bench measures what Sluice adds to a bare call of the same upstream, and prints a table with aims and
// verdicts. What is compared runs in the same run, in alternating rounds; a figure is the median over the rounds.
//
// Each thing that is measured is an element of benches with a file of its own, and yields rows of one report. A missed
// aim is a verdict, not an error: the exit status says only whether everything could be measured.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"sluice/shared/config"
)

// flags is the command line.
type flags struct {
	Settings `embed:""`
	JSON     string `name:"json" placeholder:"FILE" help:"Also write the report to FILE as JSON; - is standard output, instead of the table."`
	Results  string `placeholder:"FILE" help:"Also write the report to FILE as a page in Markdown."`
}

const interrupted = 130 // 128 + SIGINT, as shells have it

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench: stopped")
		os.Exit(interrupted)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	var f flags
	parser, err := config.New("bench", "Measures Sluice on this machine, beside what it is compared with.", &f,
		kong.Writers(out, progress), kong.Vars{"benches": names()})
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return fmt.Errorf("%w (see --help)", err)
	}
	report, err := measure(ctx, f.Settings, progress)
	if err != nil {
		return err
	}
	return f.print(report, out)
}

// print shows the report and, if asked for, keeps it.
func (f *flags) print(r *Report, out io.Writer) error {
	if f.Results != "" {
		if err := r.writeResults(f.Results); err != nil {
			return err
		}
	}
	if f.JSON == "-" {
		return r.writeJSON(out)
	}
	if err := r.writeTable(out); err != nil || f.JSON == "" {
		return err
	}
	file, err := os.Create(f.JSON)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return errors.Join(r.writeJSON(file), file.Close())
}
