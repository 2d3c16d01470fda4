package queue

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShares_AreEvenAndSmall(t *testing.T) {
	t.Parallel()
	require.Equal(t, []int{1}, shares(1))
	require.Equal(t, []int{1000}, shares(1000))
	require.Equal(t, []int{500, 501}, shares(1001))
	for _, slots := range []int{2500, 9999, 10_000} {
		sum := 0
		for _, n := range shares(slots) {
			require.LessOrEqual(t, n, serverSlots)
			sum += n
		}
		require.Equal(t, slots, sum)
	}
}
