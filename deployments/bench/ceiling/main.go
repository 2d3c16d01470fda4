// Command ceiling is a stock Asynq server whose handler does nothing: what it drains per second is what no worker on
// that Redis can surpass. The benchmark runs it as a process of its own, as workers are.
//
//	ceiling REDIS_URL QUEUE SLOTS
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hibiken/asynq"

	"sluice/shared/queue"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ceiling:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("want REDIS_URL QUEUE SLOTS")
	}
	slots, err := strconv.Atoi(args[2])
	if err != nil {
		return fmt.Errorf("slots: %w", err)
	}
	rc, err := queue.Open(args[0], slots)
	if err != nil {
		return err
	}
	defer rc.Close()
	server := asynq.NewServerFromRedisClient(rc, asynq.Config{
		Concurrency: slots, Queues: map[string]int{args[1]: 1}, LogLevel: asynq.FatalLevel,
	})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer server.Shutdown()
	fmt.Println("ceiling ready")
	<-ctx.Done()
	return nil
}
