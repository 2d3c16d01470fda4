// Command testenv runs a command with the servers that the tests need: it installs what is missing from the system's
// packages, starts PostgreSQL and an S3-compatible server on free loopback ports, exports their addresses and the path of
// PostgreSQL's program, and stops them when the command ends.
//
//	testenv -- go test ./...     run the command
//	testenv                      print the addresses and wait for Ctrl-C
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"sluice/deployments/internal/postgres"
	"sluice/deployments/internal/s3"
)

func main() {
	runtime.LockOSThread() // children are bound to the life of the thread that started them
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	err := run(ctx, args)
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		stop()
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "testenv:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if err := provide(ctx, programs); err != nil {
		return err
	}
	db, err := postgres.New(ctx, server.find(), "synchronous_commit=off") // the data is thrown away
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	gateway, err := s3.Build(ctx)
	if err != nil {
		return err
	}
	objects, err := s3.New(ctx, gateway)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, objects.Close()) }()
	env := []string{"SLUICE_TEST_DATABASE_URL=" + db.URL(), "SLUICE_TEST_POSTGRES=" + server.find(), "SLUICE_TEST_S3_URL=" + objects.URL()}
	if len(args) == 0 {
		fmt.Println("export", strings.Join(env, " "))
		<-ctx.Done()
		return nil
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd.Run()
}
