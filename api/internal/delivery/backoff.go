package delivery

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	backoffBase   = 5 * time.Second
	backoffFactor = 3
	backoffMax    = 8 * time.Hour
	// waitMax is the longest pause that a receiver can ask for.
	waitMax = 24 * time.Hour
)

// backoff is how long to wait after the given number of tries: 5 s, 15 s, 45 s and so on up to 8 h, each up to a fifth more or
// less, so that what failed together does not come again together. It makes some 16 tries in 72 hours.
func backoff(tries int) time.Duration {
	d := backoffBase
	for range tries - 1 {
		if d = d * backoffFactor; d >= backoffMax {
			d = backoffMax
			break
		}
	}
	return d - d/5 + rand.N(2*d/5)
}

// retryAfter reads the header Retry-After (RFC 9110, section 10.2.3), seconds or a date. What makes no sense is 0.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, waitMax)
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), waitMax)
	}
	return 0
}
