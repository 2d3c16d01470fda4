package client

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func TestSystem_ReadsWhatIsThere(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/system" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"object":"system","version":"1","at":"2026-01-01T00:00:00Z","queue_ready":true,"lanes":[{"lane":"batch","slots":2,"running":1,
			"queue":{"waiting":7,"oldest_waiting_seconds":1.5},"rates":{"last_minute":{"accepted":null,"first_delta":{"count":1,"p50_seconds":0.5}}}},{"lane":"interactive"}],
			"workers":[{"id":"w","started_at":null,"alive":true,"lanes":[{"lane":"batch","slots":2,"throttle":{"limit":1,"until":null}}]}],
			"upstreams":[{"name":"u","state":"degraded","errors":{"upstream_error":3}}]}`)
	})
	s, err := c.System(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, s.Lanes[0].Queue.Waiting)
	require.InDelta(t, 1.5, *s.Lanes[0].Queue.Oldest, 0)
	require.Nil(t, s.Lanes[0].Rates.Minute.Accepted)
	require.InDelta(t, 0.5, *s.Lanes[0].Rates.Minute.FirstDelta.P50, 0)
	require.Nil(t, s.Lanes[1].Queue, "Redis is away")
	require.Equal(t, &SystemThrottle{Limit: 1}, s.Workers[0].Lanes[0].Throttle)
	require.True(t, s.Workers[0].StartedAt.IsZero())
	require.EqualValues(t, 3, s.Upstreams[0].Errors[completion.CodeUpstream])
}

func TestFailures_AsksForSoMany(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":{"message":"no","code":"insufficient_scope"}}`)
			return
		}
		if r.URL.String() != "/v1/system/failures?limit=3" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"object":"list","data":[{"tenant":"a","id":"job_1","state":"failed","error":{"code":"upstream_error","upstream_status":503},
			"finished_at":"2026-01-01T00:00:00Z","retry":null}]}`)
	})
	list, err := c.Failures(t.Context(), 3)
	require.NoError(t, err)
	require.Equal(t, []Failure{{
		Tenant: "a", ID: "job_1", State: completion.Failed, Error: FailureReason{Code: completion.CodeUpstream, UpstreamStatus: 503},
		FinishedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}}, list)
	_, err = c.Failures(t.Context(), 0)
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusForbidden, refused.Status)
}
