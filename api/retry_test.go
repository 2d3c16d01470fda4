package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// end claims the job and ends it.
func (s *server) end(t *testing.T, ref completion.Ref, state completion.State) {
	t.Helper()
	_, err := s.back.Store.Claim(t.Context(), ref, "w", time.Now())
	require.NoError(t, err)
	_, err = s.back.Store.Finish(t.Context(), ref, 1, completion.Outcome{State: state, At: time.Now(), Result: []byte(`{"id":"c"}`)})
	require.NoError(t, err)
}

func TestRetry(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, body := s.do(t, http.MethodPost, "/v1/jobs", strings.Replace(chat, `{"request"`, `{"lane":"batch","timeout":90,"metadata":{"k":"v"},"request"`, 1), "Idempotency-Key", "k")
	old := completion.Ref{Tenant: "acme", Job: gjson.Get(body, "id").Str}
	s.end(t, old, completion.Failed)

	ids := make([]string, 8)
	made := make([]string, len(ids))
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			resp, body := s.do(t, http.MethodPost, "/v1/jobs/"+old.Job+"/retry", "")
			if resp.StatusCode == http.StatusAccepted {
				ids[i], made[i] = gjson.Get(body, "id").Str, resp.Header.Get("Idempotent-Replayed")
			}
		})
	}
	all.Wait()
	first := 0
	for i := range ids {
		require.Equal(t, ids[0], ids[i], "one new job, however many ask")
		if made[i] == "" {
			first++
		}
	}
	require.Equal(t, 1, first)
	stored, err := s.back.Store.Get(t.Context(), completion.Ref{Tenant: "acme", Job: ids[0]})
	require.NoError(t, err)
	require.Equal(t, completion.Queued, stored.State)
	require.Equal(t, completion.LaneBatch, stored.Lane)
	require.Equal(t, map[string]string{"k": "v"}, stored.Metadata)
	require.InDelta(t, 90, stored.Deadline.Sub(stored.CreatedAt).Seconds(), 0.01, "the same time as the old one had")
	require.ErrorIs(t, s.back.Queue.Enqueue(t.Context(), stored.Task()), completion.ErrKnown)
	_, body = s.do(t, http.MethodGet, "/v1/jobs/"+ids[0], "")
	require.Equal(t, old.Job, gjson.Get(body, "retry_of").Str)
	_, body = s.do(t, http.MethodGet, "/v1/jobs?state=failed", "")
	require.Equal(t, old.Job, gjson.Get(body, "data.0.id").Str, "the old one stays as it is (I1)")
}

func TestRetry_Refuses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	queued, completed := s.submit(t), s.submit(t)
	s.end(t, completed, completion.Completed)
	for id, want := range map[string]struct {
		status int
		code   string
		text   string
	}{
		queued.Job:    {http.StatusConflict, "job_not_retryable", "queued"},
		completed.Job: {http.StatusConflict, "job_not_retryable", "completed"},
		"job_none":    {http.StatusNotFound, "not_found", ""},
	} {
		resp, body := s.do(t, http.MethodPost, "/v1/jobs/"+id+"/retry", "")
		require.Equal(t, want.status, resp.StatusCode, body)
		require.Equal(t, want.code, gjson.Get(body, "error.code").Str)
		require.Contains(t, gjson.Get(body, "error.message").Str, want.text)
		require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	}
}

// TestSubmit_I7_ManyAtOnce has one key used by many at once: one job, one task, one stream for all.
func TestSubmit_I7_ManyAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ids := make([]string, 32)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			_, body := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
			ids[i] = gjson.Get(body, "id").Str
		})
	}
	all.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	depth, err := s.back.Queue.Depth(t.Context(), completion.LaneInteractive)
	require.NoError(t, err)
	require.EqualValues(t, 1, depth.Pending)

	ref := completion.Ref{Tenant: "acme", Job: ids[0]}
	s.abandon(t, ref, "so far")
	_, body := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
	require.Equal(t, "running", gjson.Get(body, "state").Str)
	stream := s.open(t, gjson.Get(body, "id").Str)
	defer stream.Body.Close()
	seen := make([]byte, 4096)
	for n := 0; !strings.Contains(string(seen[:n]), "so far"); {
		m, err := stream.Body.Read(seen[n:])
		require.NoError(t, err)
		n += m
	}
}

// TestDeadline_Expires: a job that waits too long ends with an event of its own, and is taken out of the queue.
func TestDeadline_Expires(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, body := s.do(t, http.MethodPost, "/v1/jobs", strings.Replace(chat, `{"request"`, `{"timeout":0.05,"request"`, 1))
	id := gjson.Get(body, "id").Str
	require.NotEmpty(t, gjson.Get(body, "deadline").Str)
	_, events := s.do(t, http.MethodGet, "/v1/jobs/"+id+"/events", "")
	require.Equal(t, 1, strings.Count(events, "data: "))
	require.Contains(t, events, "event: expired\n")
	_, body = s.do(t, http.MethodGet, "/v1/jobs/"+id, "")
	require.Equal(t, "expired", gjson.Get(body, "state").Str)
	require.Equal(t, "deadline_exceeded", gjson.Get(body, "error.code").Str)
	require.Zero(t, gjson.Get(body, "attempt").Int())
}
