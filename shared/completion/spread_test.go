package completion_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestSpread_Quantile(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{2 * time.Millisecond, 17 * time.Millisecond, 530 * time.Millisecond, 9 * time.Second, 8 * time.Minute} {
		var s completion.Spread
		s.Add(d)
		for _, q := range []float64{0.01, 0.5, 1} {
			require.InEpsilon(t, float64(d), float64(s.Quantile(q)), 0.1, d)
		}
	}
	var s completion.Spread
	for i := range 100 {
		s.Add(time.Duration(i+1) * 10 * time.Millisecond)
	}
	require.EqualValues(t, 100, s.Count())
	require.InEpsilon(t, float64(500*time.Millisecond), float64(s.Quantile(0.5)), 0.1)
	require.InEpsilon(t, float64(950*time.Millisecond), float64(s.Quantile(0.95)), 0.1)
	require.Less(t, s.Quantile(0), 11*time.Millisecond)
}

// The ends of the scale, and what is no duration.
func TestSpread_Limits(t *testing.T) {
	t.Parallel()
	var s completion.Spread
	require.Zero(t, s.Quantile(0.5))
	require.Zero(t, s.Count())
	for _, d := range []time.Duration{-time.Hour, 0, 1} {
		s.Add(d)
	}
	require.Less(t, s.Quantile(1), time.Millisecond)
	s.Add(1000 * time.Hour)
	require.Greater(t, s.Quantile(1), 10*time.Minute)
	require.EqualValues(t, 4, s.Count())
}

// Counts of several processes add up, whatever their length, and what another version or a fault has written does no harm.
func TestSpread_Merge(t *testing.T) {
	t.Parallel()
	var a, b, all completion.Spread
	a.Add(time.Millisecond)
	b.Add(time.Second)
	b.Add(time.Second)
	all.Merge(a)
	all.Merge(b)
	all.Merge(nil)
	require.EqualValues(t, 3, all.Count())
	require.InEpsilon(t, float64(time.Second), float64(all.Quantile(0.9)), 0.1)
	long := make(completion.Spread, 1000)
	long[999], long[0] = 1, -5
	all.Merge(long)
	require.EqualValues(t, 4, all.Count())
	require.LessOrEqual(t, len(all), 80)
}
