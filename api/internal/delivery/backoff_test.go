package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// A receiver that never answers is tried from seconds to hours apart, for up to 72 hours.
func TestApply_UpTo72Hours(t *testing.T) {
	t.Parallel()
	for range 100 {
		_, sent := addressed(t, "https://example.org")
		start := sent.CreatedAt
		sent.Tries = 0
		now, tries := start, 0
		for before := time.Duration(0); sent.State == completion.DeliveryPending; tries++ {
			sent.Tries++
			sent = answer{status: 500}.apply(sent, now)
			if sent.State == completion.DeliveryPending {
				pause := sent.NextAt.Sub(now)
				require.GreaterOrEqual(t, pause, min(before, backoffMax*4/5))
				require.LessOrEqual(t, pause, backoffMax*6/5)
				now, before = sent.NextAt, pause
			}
		}
		require.Equal(t, completion.DeliveryFailed, sent.State)
		require.Less(t, now.Sub(start), completion.GiveUpAfter)
		require.Greater(t, now.Sub(start), completion.GiveUpAfter-backoffMax*6/5)
		require.InDelta(t, 16, tries, 3)
	}
	require.Less(t, backoff(1), 7*time.Second)
	require.LessOrEqual(t, backoff(1<<30), backoffMax*6/5)
}

// Who asks to wait until the time is over gets no more.
func TestApply_WaitTooLong(t *testing.T) {
	t.Parallel()
	_, sent := addressed(t, "https://example.org")
	now := sent.ExpiresAt.Add(-time.Hour)
	require.Equal(t, completion.DeliveryPending, answer{status: 503, wait: time.Minute}.apply(sent, now).State)
	require.Equal(t, completion.DeliveryFailed, answer{status: 503, wait: 2 * time.Hour}.apply(sent, now).State)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "4294967295": waitMax, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
		now.AddDate(9, 0, 0).Format(http.TimeFormat): waitMax,
	} {
		require.Equal(t, want, retryAfter(value, now), value)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "120", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "Wednesday, 21-Oct-26 07:28:00 GMT", "1e9", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		d := retryAfter(value, time.Now())
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, waitMax)
	})
}
