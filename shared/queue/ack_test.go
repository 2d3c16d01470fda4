package queue

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

type said string

func (s said) Error() string { return string(s) }
func (said) RedisError()     {}

func TestAcks_Settle(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	for name, c := range map[string]struct {
		answers []error // the last one repeats
		hurry   time.Duration
		tries   int // 0: not checked
		lasts   time.Duration
		want    error
	}{
		"at once":               {answers: []error{nil}, tries: 1},
		"after a failover":      {answers: []error{down, said("LOADING x"), said("READONLY x"), nil}, tries: 4, lasts: 3 * ackEvery},
		"not ours any more":     {answers: []error{down, said("NOT FOUND")}, tries: 2, lasts: ackEvery},
		"unknown script":        {answers: []error{said("NOSCRIPT x")}, tries: 1, want: said("NOSCRIPT x")},
		"gives up":              {answers: []error{down}, lasts: ackLimit + ackEvery, want: down},
		"gives up when hurried": {answers: []error{down}, hurry: 10 * time.Second, lasts: 10*time.Second + ackHurry + ackEvery, want: down},
		"too late to hurry":     {answers: []error{down}, hurry: 24 * time.Second, lasts: ackLimit + ackEvery, want: down},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAcks(slog.New(slog.DiscardHandler))
				if c.hurry > 0 {
					time.AfterFunc(c.hurry, a.close)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // as asynq does before it tries again
				tries, start := 0, time.Now()
				cmd := a.settle(ctx, "job", func(ctx context.Context) *redis.Cmd {
					require.NoError(t, ctx.Err())
					err := c.answers[min(tries, len(c.answers)-1)]
					tries++
					return answer(ctx, "OK", err)
				})
				require.Equal(t, c.want, cmd.Err())
				require.InDelta(t, c.lasts, time.Since(start), float64(2*ackEvery))
				if c.tries > 0 {
					require.Equal(t, c.tries, tries)
				}
			})
		})
	}
}

func TestAcks_LeaveIsForOneSettling(t *testing.T) {
	t.Parallel()
	a := newAcks(slog.New(slog.DiscardHandler))
	sent := 0
	next := func(ctx context.Context) *redis.Cmd { sent++; return answer(ctx, "OK", nil) }
	a.leave("a")
	require.NoError(t, a.settle(t.Context(), "a", next).Err())
	require.Zero(t, sent)
	require.NoError(t, a.settle(t.Context(), "b", next).Err())
	require.NoError(t, a.settle(t.Context(), "a", next).Err())
	require.Equal(t, 2, sent)
	a.leave("a")
	require.True(t, a.claim("a"))
	require.NoError(t, a.settle(t.Context(), "a", next).Err(), "a new delivery forgets it")
	require.Equal(t, 3, sent)
}
