package queue

import (
	"context"
	"strconv"
	"time"

	"sluice/shared/completion"
)

const (
	// stretch is the time that one counter of accepted jobs is for.
	stretch = 5 * time.Second
	// AcceptedFor is how long accepted jobs are counted for.
	AcceptedFor = 15 * time.Minute
)

// NoteAccepted counts n jobs of the lane that were accepted at some time. It is for rates only: what it counts, Redis may
// lose.
func (c *Client) NoteAccepted(ctx context.Context, lane completion.Lane, n int64, at time.Time) error {
	key := keysOf(lane).accepted(at)
	pipe := c.rc.Pipeline()
	pipe.IncrBy(ctx, key, n)
	pipe.Expire(ctx, key, AcceptedFor+time.Minute)
	if _, err := pipe.Exec(ctx); err != nil {
		return unavailable("count accepted jobs", err)
	}
	return nil
}

// Accepted is how many jobs of the lane were accepted in each of the times before at, to five seconds. Times longer than
// AcceptedFor count as that.
func (c *Client) Accepted(ctx context.Context, lane completion.Lane, at time.Time, within ...time.Duration) ([]int64, error) {
	k, keys := keysOf(lane), []string(nil)
	for back := time.Duration(0); back < AcceptedFor; back += stretch {
		keys = append(keys, k.accepted(at.Add(-back)))
	}
	counts, err := c.rc.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, unavailable("read how many jobs were accepted", err)
	}
	sums := make([]int64, len(within))
	for i, count := range counts {
		text, _ := count.(string)
		n, _ := strconv.ParseInt(text, 10, 64) // none: 0
		for j, d := range within {
			if time.Duration(i)*stretch < d {
				sums[j] += n
			}
		}
	}
	return sums, nil
}

func (k keys) accepted(at time.Time) string {
	return k.taken + strconv.FormatInt(at.Unix()/int64(stretch/time.Second), 10)
}
