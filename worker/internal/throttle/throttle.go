// Package throttle keeps the batch lane of a process below its upstream's rate limit, which it shares with the
// interactive jobs: after the upstream has refused a call for its rate, the lane's attempts wait as long as the upstream
// asks for, and then fewer of them run at once, one more with each window of successes.
//
// It promises that attempts of the interactive lane never wait here (I10): they only tell how the upstream took them. It
// leaves to others what becomes of a refused attempt, and what the processes do to each other: each finds its own share.
package throttle

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"sluice/shared/completion"
)

// ErrClosed is what Enter returns once the throttle is closed.
var ErrClosed = errors.New("the throttle is closed")

// Throttle lets attempts begin. It is safe for concurrent use.
type Throttle struct {
	slots   int
	backoff func(n int) time.Duration

	mu      sync.Mutex
	limit   int       // attempts that may run at once, from 1 to slots
	running int       // attempts that do
	good    int       // calls that went well since limit has changed
	bad     int       // slow-downs since a call went well
	round   int       // slow-downs so far: calls from before the latest cause no other
	until   time.Time // nothing begins before
	waiting []chan error
	timer   *time.Timer // lets those who wait begin at until
	closed  bool
}

// New returns a throttle for so many attempts at once. backoff is the pause after n refusals in a row, from 1, that do
// not say how long to wait.
func New(slots int, backoff func(n int) time.Duration) *Throttle {
	return &Throttle{slots: slots, limit: slots, backoff: backoff}
}

// Enter waits until an attempt may begin, whose Pass the caller gives back with Leave. Those who wait enter in the order
// in which they came. Its error is the cause that ended ctx, or ErrClosed.
func (t *Throttle) Enter(ctx context.Context) (*Pass, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, ErrClosed
	}
	turn := make(chan error, 1)
	t.waiting = append(t.waiting, turn)
	t.admit()
	t.mu.Unlock()
	select {
	case err := <-turn:
		return t.pass(true), err
	default:
	}
	select {
	case err := <-turn:
		return t.pass(true), err
	case <-ctx.Done():
		t.withdraw(turn)
		return nil, context.Cause(ctx)
	}
}

// withdraw takes back a wish to enter, or the place that was given for it meanwhile.
func (t *Throttle) withdraw(turn chan error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, turn); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	} else if err := <-turn; err == nil {
		t.running--
		t.admit()
	}
}

func (t *Throttle) pass(lane bool) *Pass {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &Pass{throttle: t, lane: lane, round: t.round}
}

// admit lets in whoever may begin now. The caller holds mu.
func (t *Throttle) admit() {
	if wait := time.Until(t.until); wait > 0 {
		if t.timer == nil {
			t.timer = time.AfterFunc(wait, t.resume)
		}
		return
	}
	for len(t.waiting) > 0 && t.running < t.limit {
		t.running++
		t.waiting[0] <- nil
		t.waiting = t.waiting[1:]
	}
}

func (t *Throttle) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	t.admit()
}

// State is how the throttle slows the lane down; nil while it does not.
func (t *Throttle) State() *completion.Throttle {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &completion.Throttle{Limit: t.limit, Waiting: len(t.waiting)}
	if time.Until(t.until) > 0 {
		s.Until = t.until
	}
	if t.limit == t.slots && s.Until.IsZero() {
		return nil
	}
	return s
}

// Close sends away who waits and who comes: their process is stopping, and others shall have the work.
func (t *Throttle) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, turn := range t.waiting {
		turn <- ErrClosed
	}
	t.waiting = nil
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// Beside lets attempts begin that share the upstream with those of Throttle, and never wait.
type Beside struct{ Throttle *Throttle }

// Enter returns at once.
func (b Beside) Enter(context.Context) (*Pass, error) { return b.Throttle.pass(false), nil }

// Pass is one attempt's. It is for one goroutine.
type Pass struct {
	throttle *Throttle
	lane     bool // of an attempt that waits for its turn
	round    int
}

// Leave ends the attempt.
func (p *Pass) Leave() {
	if !p.lane {
		return
	}
	p.throttle.mu.Lock()
	defer p.throttle.mu.Unlock()
	p.throttle.running--
	p.throttle.admit()
}

// Took tells how the upstream took the attempt's call. If it refused the call for its rate, and the attempt is one that
// waits for its turn, spared is true: there is no use in counting it, and in another before the pause is over.
func (p *Pass) Took(err error) (pause time.Duration, spared bool) {
	t := p.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	failure, refused := refusal(err)
	switch {
	case err == nil && p.lane:
		t.speedUp(p.round)
	case refused:
		t.slowDown(p.round, time.Duration(failure.RetryAfter))
		return max(time.Until(t.until), 0), p.lane
	}
	return 0, false
}

// refusal reports whether err is how an upstream says that it is asked too much: that, not an account without money, and
// not a server that is down without saying for how long.
func refusal(err error) (*completion.Error, bool) {
	var failure *completion.Error
	if !errors.As(err, &failure) || !failure.Retryable {
		return nil, false
	}
	busy := failure.UpstreamStatus == http.StatusServiceUnavailable && failure.RetryAfter > 0
	return failure, busy || failure.Code == completion.CodeRateLimited
}

func (t *Throttle) speedUp(round int) {
	if round != t.round {
		return // it was under way when another was refused, and says nothing about the time since
	}
	t.bad = 0
	if t.good++; t.limit < t.slots && t.good >= t.limit {
		t.limit, t.good = t.limit+1, 0
		t.admit()
	}
}

func (t *Throttle) slowDown(round int, after time.Duration) {
	if round == t.round {
		t.round++
		t.limit, t.good = max(t.limit/2, 1), 0
		if t.bad++; after == 0 {
			after = t.backoff(t.bad)
		}
	}
	if until := time.Now().Add(after); until.After(t.until) {
		t.until = until
	}
}
