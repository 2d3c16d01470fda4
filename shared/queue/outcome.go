package queue

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
)

var (
	// ErrNotMine is what a handler returns when somebody else runs the task now: its acknowledgement is not sent, the
	// task stays as it is. If nobody runs it after all, Revive delivers it again.
	ErrNotMine = errors.New("the task is another worker's")

	// ErrStopping is the cause with which the handlers' context ends when the server stops.
	ErrStopping = errors.New("the server is stopping")
)

// Again is what a handler returns, wrapped or not, to get the task again: by any worker, without limit of how often.
type Again struct {
	After time.Duration // wait at least this long; 0: at once
	Err   error         // why; may be nil
}

func (a *Again) Error() string {
	if a.Err == nil {
		return fmt.Sprintf("deliver again after %s", a.After)
	}
	return fmt.Sprintf("deliver again after %s: %s", a.After, a.Err)
}

func (a *Again) Unwrap() error { return a.Err }

const (
	backoffFirst = time.Second
	backoffMost  = time.Minute
)

// counts tells asynq which answers raise the task's count of tries. The count serves the backoff only, see backoff.
func counts(err error) bool {
	var again *Again
	return !errors.As(err, &again) && !errors.Is(err, asynq.ErrLeaseExpired)
}

// delay tells asynq when to deliver the task again after its handler answered err.
func delay(tries int, err error, _ *asynq.Task) time.Duration {
	var again *Again
	switch {
	case errors.As(err, &again):
		return wholeSeconds(time.Now(), again.After)
	case errors.Is(err, asynq.ErrLeaseExpired):
		return 0
	default:
		return wholeSeconds(time.Now(), backoff(tries))
	}
}

// backoff is the wait after an error that says nothing about when: doubling from a second to a minute, less up to half.
func backoff(tries int) time.Duration {
	d := min(backoffFirst<<min(tries, 16), backoffMost)
	return d - rand.N(d/2)
}

// wholeSeconds returns d made longer, so that now+d falls on a full second: asynq cuts the fraction off, and the task
// would come early.
func wholeSeconds(now time.Time, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return ceil(now.Add(d)).Sub(now.Round(0))
}

func ceil(t time.Time) time.Time {
	return t.Add(time.Second - 1).Truncate(time.Second)
}
