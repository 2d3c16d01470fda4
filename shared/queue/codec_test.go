package queue

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestCodec_RoundTrip(t *testing.T) {
	t.Parallel()
	ref := completion.Ref{Tenant: "acme", Job: completion.NewJobID()}
	b, err := encode(completion.Task{Ref: ref, Lane: completion.LaneBatch})
	require.NoError(t, err)
	require.Equal(t, `{"v":1,"tenant":"acme","job":"`+ref.Job+`"}`, string(b))
	got, err := decode(typeName, b)
	require.NoError(t, err)
	require.Equal(t, ref, got)
	_, err = decode(typeName, []byte(`{"v":1,"tenant":"a","job":"b","new":{}}`))
	require.NoError(t, err, "unknown fields are ignored")
}

func FuzzCodec_Decode(f *testing.F) {
	f.Add([]byte(`{"v":1,"tenant":"acme","job":"job_1"}`))
	f.Add([]byte(`{"v":1,"tenant":"*","job":">"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		ref, err := decode(typeName, b)
		if err != nil {
			require.ErrorIs(t, err, errPoison)
			return
		}
		again, err := encode(completion.Task{Ref: ref})
		require.NoError(t, err)
		back, err := decode(typeName, again)
		require.NoError(t, err)
		require.Equal(t, ref, back)
	})
}

func TestWholeSeconds_NeverEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1234567 * time.Microsecond) // the fake clock starts on a whole second, where rounding would not show
		now := time.Now()
		for _, d := range []time.Duration{1, time.Millisecond, time.Second, 765433 * time.Microsecond, time.Hour} {
			at := now.Add(wholeSeconds(now, d)).Unix() // as asynq does
			require.False(t, time.Unix(at, 0).Before(now.Add(d)), d)
			require.Less(t, time.Unix(at, 0).Sub(now.Add(d)), time.Second, d)
		}
		require.Zero(t, wholeSeconds(now, 0))
		require.Zero(t, wholeSeconds(now, -time.Hour))
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for tries, most := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 6: time.Minute, 1 << 30: time.Minute} {
		for range 100 {
			d := backoff(tries)
			require.LessOrEqual(t, d, most)
			require.Greater(t, d, most/2-1)
		}
	}
}

func TestPark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPark(time.Hour)
		waits := func() time.Duration {
			start := time.Now()
			p.wait(p.maxWait, p.bell, nil)
			return time.Since(start)
		}
		require.Equal(t, time.Hour, waits())
		p.wake()
		p.wake()
		require.Zero(t, waits(), "a wake-up is kept until it is used")
		require.Equal(t, time.Hour, waits(), "two at once are one")
		time.AfterFunc(time.Minute, p.wake)
		require.Equal(t, time.Minute, waits())
		time.AfterFunc(time.Minute, p.close)
		require.Equal(t, time.Minute, waits())
		p.close()
		require.Zero(t, waits())
	})
}

// TestPark_Dequeue is what asynq hears, and when, for each answer of takeCmd.
func TestPark_Dequeue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer any
		err    error
		during func(p *park) // happens at
		at     time.Duration
		lasts  time.Duration
		want   error
	}{
		"a task":                {answer: "msg"},
		"nothing":               {err: redis.Nil, lasts: time.Hour, want: redis.Nil},
		"nothing, then a task":  {err: redis.Nil, at: time.Minute, during: (*park).wake, lasts: time.Minute, want: redis.Nil},
		"nothing, and one ends": {err: redis.Nil, at: time.Minute, during: (*park).free, lasts: time.Hour, want: redis.Nil},
		"held back":             {answer: int64(1), lasts: heldPause, want: redis.Nil},
		"held back, one ends":   {answer: int64(1), at: heldPause / 2, during: (*park).free, lasts: heldPause / 2, want: redis.Nil},
		"held back, a task":     {answer: int64(1), at: heldPause / 2, during: (*park).wake, lasts: heldPause / 2, want: redis.Nil},
		"ask again":             {answer: int64(0), want: redis.Nil},
		"no redis":              {err: io.EOF, lasts: errorPause, want: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPark(time.Hour)
				p.free() // before the dequeue: that one is in the answer
				if c.during != nil {
					time.AfterFunc(c.at, func() { c.during(p) })
				}
				start := time.Now()
				cmd := p.dequeue(t.Context(), func(ctx context.Context) *redis.Cmd { return answer(ctx, c.answer, c.err) })
				require.ErrorIs(t, cmd.Err(), c.want)
				require.Equal(t, c.lasts, time.Since(start))
				if c.want == nil {
					require.Equal(t, c.answer, cmd.Val())
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p, start := newPark(time.Hour), time.Now()
		p.dequeue(t.Context(), func(ctx context.Context) *redis.Cmd {
			p.free() // too late for the answer
			return answer(ctx, int64(1), nil)
		})
		require.Zero(t, time.Since(start))
	})
}
