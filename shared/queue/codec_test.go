package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestCodec_RoundTrip(t *testing.T) {
	t.Parallel()
	ref := completion.Ref{Tenant: "acme", Job: completion.NewJobID()}
	b, err := encode(completion.Task{Ref: ref, Lane: completion.Batch})
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
		time.Sleep(1234567 * time.Microsecond) // the fake clock's: off whole seconds
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
