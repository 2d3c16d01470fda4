package throttle_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sluice/shared/completion"
	"sluice/worker/internal/throttle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// doubling is a backoff without chance.
func doubling(n int) time.Duration { return time.Second << (n - 1) }

func refused(after time.Duration) *completion.Error {
	failure := completion.NewError(completion.CodeRateLimited, "")
	failure.RetryAfter = completion.Wait(after)
	return failure
}

func enter(t *testing.T, th *throttle.Throttle) *throttle.Pass {
	t.Helper()
	p, err := th.Enter(t.Context())
	require.NoError(t, err)
	return p
}

// width is how many enter at once without waiting.
func width(t *testing.T, th *throttle.Throttle) (n int) {
	t.Helper()
	var in []*throttle.Pass
	defer func() {
		for _, p := range in {
			p.Leave()
		}
	}()
	for ctx := t.Context(); ; n++ {
		soon, cancel := context.WithTimeout(ctx, time.Nanosecond)
		p, err := th.Enter(soon)
		cancel()
		if err != nil {
			return n
		}
		in = append(in, p)
	}
}

func TestThrottle_SlowsDownOncePerBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(64, doubling)
		require.Equal(t, 64, width(t, th))
		var burst []*throttle.Pass
		for range 64 {
			burst = append(burst, enter(t, th))
		}
		for i, p := range burst {
			pause, spared := p.Took(refused(time.Duration(i%3+1) * time.Second))
			require.True(t, spared)
			require.GreaterOrEqual(t, pause, time.Duration(i%3+1)*time.Second)
			p.Leave()
		}
		began := time.Now()
		enter(t, th).Leave()
		require.Equal(t, 3*time.Second, time.Since(began), "the longest that was asked for")
		require.Equal(t, 32, width(t, th))
	})
}

func TestThrottle_PausesLongerWithEachRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(4, doubling)
		for _, want := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
			began := time.Now()
			p := enter(t, th)
			require.Equal(t, want, time.Since(began))
			p.Took(refused(0))
			p.Leave()
		}
		time.Sleep(8 * time.Second) // the fake clock passes the fourth pause
		require.Equal(t, 1, width(t, th), "one is let in at least")
		p := enter(t, th)
		p.Took(nil)
		p.Leave()
		p = enter(t, th)
		pause, _ := p.Took(refused(0))
		require.Equal(t, time.Second, pause, "a success ends the row")
		p.Leave()
	})
}

func TestThrottle_GrowsByOneWithEachWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(8, doubling)
		p := enter(t, th)
		late := enter(t, th)
		p.Took(refused(time.Second))
		p.Leave()
		late.Took(nil)
		late.Leave()
		time.Sleep(time.Second) // the fake clock passes the pause that was asked for
		for limit := 4; limit < 8; limit++ {
			for range limit {
				require.Equal(t, limit, width(t, th))
				p := enter(t, th)
				p.Took(nil)
				p.Leave()
			}
		}
		for range 20 {
			p := enter(t, th)
			p.Took(nil)
			p.Leave()
		}
		require.Equal(t, 8, width(t, th), "its slots are the most")
	})
}

func TestThrottle_WhatIsNoRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(4, doubling)
		busy := completion.NewError(completion.CodeUpstream, "")
		busy.UpstreamStatus = 503
		final := refused(time.Second)
		final.Retryable = false
		for _, err := range []error{
			errors.New("x"), context.Canceled, busy, final, completion.NewError(completion.CodeQuota, ""), completion.NewError(completion.CodeCut, ""),
		} {
			p := enter(t, th)
			pause, spared := p.Took(err)
			p.Leave()
			require.False(t, spared, "%v", err)
			require.Zero(t, pause)
		}
		require.Equal(t, 4, width(t, th))
		busy.RetryAfter = completion.Wait(time.Second)
		p := enter(t, th)
		_, spared := p.Took(busy)
		p.Leave()
		require.True(t, spared, "a server that is overloaded says when to come again")
	})
}

// TestThrottle_I10_InteractiveIsBeside: interactive attempts never wait, whatever was refused, and slow the lane down.
func TestThrottle_I10_InteractiveIsBeside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(2, doubling)
		beside := throttle.Beside{Throttle: th}
		began := time.Now()
		for range 100 {
			p, err := beside.Enter(t.Context())
			require.NoError(t, err)
			_, spared := p.Took(refused(time.Minute))
			require.False(t, spared, "what becomes of them is as it was")
			defer p.Leave()
		}
		require.Zero(t, time.Since(began))
		enter(t, th).Leave()
		require.Equal(t, time.Minute, time.Since(began))
		require.Equal(t, 1, width(t, th))
	})
}

func TestThrottle_EnterInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(1, doubling)
		first := enter(t, th)
		var order []int
		var waits sync.WaitGroup
		for i := range 5 {
			ctx, cancel := context.WithCancelCause(t.Context())
			if i == 2 {
				time.AfterFunc(time.Second, func() { cancel(errors.New("left")) })
			}
			waits.Go(func() {
				p, err := th.Enter(ctx)
				if i == 2 {
					require.EqualError(t, err, "left")
					return
				}
				require.NoError(t, err)
				order = append(order, i)
				p.Leave()
				cancel(nil)
			})
			synctest.Wait()
		}
		time.Sleep(2 * time.Second) // on the fake clock the others have waited for long when the first one leaves
		first.Leave()
		waits.Wait()
		require.Equal(t, []int{0, 1, 3, 4}, order)
	})
}

func TestThrottle_Close(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(1, doubling)
		p := enter(t, th)
		p.Took(refused(time.Hour))
		time.AfterFunc(time.Second, th.Close)
		began := time.Now()
		_, err := th.Enter(t.Context())
		require.ErrorIs(t, err, throttle.ErrClosed)
		require.Equal(t, time.Second, time.Since(began))
		_, err = th.Enter(t.Context())
		require.ErrorIs(t, err, throttle.ErrClosed)
		p.Leave()
		th.Close()
	})
}

// TestThrottle_ManyAtOnce has attempts come, leave and be withdrawn at the same moments; none may get lost.
func TestThrottle_ManyAtOnce(t *testing.T) {
	t.Parallel()
	th := throttle.New(3, func(int) time.Duration { return time.Microsecond })
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%20)*50*time.Microsecond)
			defer cancel()
			p, err := th.Enter(ctx)
			if err != nil {
				return
			}
			if i%7 == 0 {
				p.Took(refused(0))
			} else {
				p.Took(nil)
			}
			p.Leave()
		})
	}
	all.Wait()
	for range 10 {
		p := enter(t, th)
		p.Took(nil)
		p.Leave()
	}
	require.Equal(t, 3, width(t, th))
}

// What slows the lane down is told as long as it does.
func TestThrottle_State(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(4, doubling)
		require.Nil(t, th.State())
		p := enter(t, th)
		_, _ = p.Took(refused(time.Second))
		p.Leave()
		require.Equal(t, &completion.Throttle{Limit: 2, Until: time.Now().Add(time.Second)}, th.State())
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				p, err := th.Enter(t.Context())
				require.NoError(t, err)
				time.Sleep(time.Second) // on the fake clock its call takes a second
				_, _ = p.Took(nil)
				p.Leave()
			})
		}
		synctest.Wait()
		require.Equal(t, 3, th.State().Waiting)
		time.Sleep(1500 * time.Millisecond) // on the fake clock: the pause of a second is over, and two calls are half done
		require.Equal(t, &completion.Throttle{Limit: 2, Waiting: 1}, th.State())
		waiting.Wait()
		for range 8 {
			p := enter(t, th)
			_, _ = p.Took(nil)
			p.Leave()
		}
		require.Nil(t, th.State(), "as many as there are slots again")
	})
}
