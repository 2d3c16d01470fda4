// Command bare reads streams of deltas with the client library and nothing else: what no worker that reads them with it can
// do with less. Once all streams have begun, and a while later, it measures for a window what that costs and how old the
// deltas are, which say when they were sent; then it prints the figures as JSON, and reads on until it is stopped.
//
//	bare BASE_URL MODEL STREAMS SETTLE WINDOW
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		stop()
		os.Exit(1)
	}
}

// reader holds what is measured.
type reader struct {
	client *openai.Client
	model  string

	begun     atomic.Int64 // streams
	measuring atomic.Bool
	mu        sync.Mutex
	figures   figures
}

// figures are what is printed.
type figures struct {
	Deltas int           `json:"deltas"`
	CPU    time.Duration `json:"cpu_ns"`
	Ages   []int64       `json:"ages_ns"`
}

func run(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return errors.New("want BASE_URL MODEL STREAMS SETTLE WINDOW")
	}
	streams, err := strconv.Atoi(args[2])
	settle, wrong := time.ParseDuration(args[3])
	window, also := time.ParseDuration(args[4])
	if err := errors.Join(err, wrong, also); err != nil {
		return err
	}
	config := openai.DefaultConfig("")
	config.BaseURL = args[0]
	r := &reader{client: openai.NewClientWithConfig(config), model: args[1]}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	for range streams {
		running.Go(func() {
			if err := r.read(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
		if err := rest(ctx, time.Millisecond); err != nil { // not all in step
			return err
		}
	}
	for r.begun.Load() < int64(streams) {
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	if err := rest(ctx, settle); err != nil {
		return err
	}
	fmt.Println("bare running")
	before := used()
	r.measuring.Store(true)
	if err := rest(ctx, window); err != nil {
		return err
	}
	r.measuring.Store(false)
	if err := r.print(used() - before); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (r *reader) print(cpu time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.figures.CPU = cpu
	return json.NewEncoder(os.Stdout).Encode(r.figures)
}

// read reads one stream to its end.
func (r *reader) read(ctx context.Context) error {
	stream, err := r.client.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model: r.model, Stream: true, Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "hello"}},
	})
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer stream.Close()
	for first := true; ; first = false {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if first {
			r.begun.Add(1)
		}
		if len(chunk.Choices) > 0 && r.measuring.Load() {
			r.note(chunk.Choices[0].Delta.Content)
		}
	}
}

func (r *reader) note(text string) {
	now := time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.figures.Deltas++
	if sent, err := strconv.ParseInt(strings.TrimSuffix(text, " "), 10, 64); err == nil {
		r.figures.Ages = append(r.figures.Ages, now-sent)
	}
}

// used is the CPU time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return cmp.Or(context.Cause(ctx), ctx.Err())
	}
}
