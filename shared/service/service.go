// Package service runs the parts of a process: it starts them in order and stops them in reverse, so that a part may
// rely on those before it from its first moment to its last.
package service

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
)

// Runner is one part. Run works until ctx ends and then returns nil, or returns an error when it cannot go on. Returning
// nil earlier means that the part has nothing left to do; the others go on.
type Runner struct {
	Name string // begins its errors; empty: they are as they are
	Run  func(ctx context.Context) error
}

// running is a Runner that was started.
type running struct {
	name string
	stop context.CancelCauseFunc
	done chan struct{}
	err  error // valid once done is closed
}

// Run starts the runners in the order given and returns when all have returned. When ctx ends or one of them fails, it
// stops them in reverse order, each one only after the one behind it has returned; the cause of their context is that of
// ctx, or the error. It returns the errors of all, each with its runner's name, and nil if there are none. A stop takes as
// long as the runners take. A panic ends the program, as anywhere.
func Run(ctx context.Context, runners ...Runner) error {
	defer runtime.KeepAlive(ballast)
	failed := make(chan error, len(runners))
	all := make([]*running, len(runners))
	for i, r := range runners {
		all[i] = start(ctx, r, failed)
	}
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		for _, r := range all {
			<-r.done
		}
	}()
	var cause error
	select {
	case <-ctx.Done():
		cause = context.Cause(ctx)
	case cause = <-failed:
	case <-idle:
	}
	var errs []error
	for _, r := range slices.Backward(all) {
		r.stop(cause)
		<-r.done
		errs = append(errs, r.err)
	}
	<-idle
	slices.Reverse(errs)
	return errors.Join(errs...)
}

func start(ctx context.Context, r Runner, failed chan<- error) *running {
	own, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &running{name: r.Name, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := r.Run(own); err != nil {
			if s.err = err; s.name != "" {
				s.err = fmt.Errorf("%s: %w", s.name, err)
			}
			failed <- s.err
		}
	}()
	return s
}
