package generate

import (
	"math/rand/v2"
	"time"

	"sluice/shared/completion"
)

// Backoff is the pause between a job's tries: Base, doubled for each failed try, at most Max, with up to half of it
// taken off at random so that jobs which failed together do not return together.
type Backoff struct {
	Base time.Duration
	Max  time.Duration
}

// After returns the pause after the given number of failed tries (from 1): never less than the upstream asked for.
func (b Backoff) After(tries int, failure *completion.Error) time.Duration {
	d := b.Base << min(max(tries-1, 0), 20)
	if d > b.Max || d <= 0 {
		d = b.Max
	}
	if d > 1 {
		d -= rand.N(d / 2)
	}
	return max(d, time.Duration(failure.RetryAfter))
}
