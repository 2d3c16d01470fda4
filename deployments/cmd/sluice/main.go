// Command sluice is the all-in-one server and the command line of Sluice.
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
	"sluice/shared/telemetry"
)

// program is the whole command line.
type program struct {
	Version kong.VersionFlag `help:"Print the version."`

	Up            upCmd            `cmd:"" help:"Run everything in one process: API, worker, NATS, queue and database."`
	Ask           askCmd           `cmd:"" help:"Submit a prompt and print the answer while it streams."`
	Chat          chatCmd          `cmd:"" help:"Talk with a model, line by line."`
	Tail          tailCmd          `cmd:"" help:"Follow a job's answer, from its start."`
	Get           getCmd           `cmd:"" help:"Show a job."`
	List          listCmd          `cmd:"" help:"List jobs, newest first."`
	Cancel        cancelCmd        `cmd:"" help:"Cancel a job, keeping what it has so far."`
	Retry         retryCmd         `cmd:"" help:"Try jobs again that failed, expired or were cancelled."`
	Models        modelsCmd        `cmd:"" help:"List the models there are."`
	Top           topCmd           `cmd:"" help:"Watch lanes, workers, upstreams and rates live."`
	Batch         batchCmd         `cmd:"" help:"Run a file of many requests."`
	Conversations conversationsCmd `cmd:"" help:"Look at conversations."`
	Keys          keysCmd          `cmd:"" help:"Manage API keys."`
	Tenants       tenantsCmd       `cmd:"" help:"Limit tenants, and set what their conversations begin with."`
	Prune         pruneCmd         `cmd:"" help:"Delete what has ended and is old, or count it."`
	Webhooks      webhooksCmd      `cmd:"" name:"webhooks" help:"Be told of what happens, over HTTP."`
	NATS          natsCmd          `cmd:"" name:"nats" help:"Set NATS up."`
	Sim           simCmd           `cmd:"" help:"Run the simulated model alone, as an OpenAI-compatible server."`
	Config        configCmd        `cmd:"" help:"Print a reference of all settings."`
	Doctor        doctorCmd        `cmd:"" help:"Check each server and say what is wrong."`
	Ready         readyCmd         `cmd:"" help:"Ask a program whether it is ready, for probes."`
}

// terminal is what a command may read and write.
type terminal struct {
	in         *os.File
	out        io.Writer
	err        io.Writer
	interrupts chan struct{} // Ctrl-C, while somebody waits for it; the program ends otherwise
	key        string        // SLUICE_API_KEY, which is no flag so that nobody sees it in a list of processes
	dumb       bool          // TERM=dumb: the terminal shows lines and nothing else
}

// exitError ends the program with a status of its own; its error may be nil.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }

const interrupted = 130 // 128 + SIGINT, as shells have it

func main() {
	t := &terminal{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, interrupts: make(chan struct{}), key: os.Getenv("SLUICE_API_KEY"), dumb: os.Getenv("TERM") == "dumb",
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go listen(signals, t.interrupts, end)
	err := run(ctx, os.Args[1:], t)
	var exit *exitError
	switch {
	case err == nil:
		return
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(os.Stderr, "sluice:", exit.err)
		}
		os.Exit(exit.status)
	default:
		fmt.Fprintln(os.Stderr, "sluice:", err)
		os.Exit(1)
	}
}

// listen hands Ctrl-C over while somebody waits for it. Any other signal ends the program, and the one after that at once.
func listen(signals chan os.Signal, interrupts chan<- struct{}, end func()) {
	for s := range signals {
		if s == os.Interrupt {
			select {
			case interrupts <- struct{}{}:
				continue
			default:
			}
		}
		signal.Stop(signals)
		end()
		return
	}
}

func run(ctx context.Context, args []string, t *terminal) error {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parser, err := config.New("sluice", "Queues LLM completions, streams them while they are generated, and keeps the answers.", &program{},
		kong.Vars{"version": "sluice " + telemetry.ThisBuild().String()}, kong.Writers(t.out, t.err),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(t))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return &exitError{status: 2, err: fmt.Errorf("%w (see sluice --help)", err)}
	}
	return advise(command.Run())
}
