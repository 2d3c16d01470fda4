package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// requireUsedUp checks an answer that says that completions are used up.
func requireUsedUp(t *testing.T, code completion.Code, resp *http.Response, body string) {
	t.Helper()
	require.Equal(t, string(code), gjson.Get(body, "error.code").Str, body)
	require.Equal(t, code.Kind().Status, resp.StatusCode)
	require.Equal(t, "insufficient_quota", gjson.Get(body, "error.type").Str)
	require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	if code == completion.CodeAllQuota {
		require.Empty(t, resp.Header.Get("Retry-After"))
		return
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, seconds)
	require.LessOrEqual(t, seconds, 24*60*60)
}

// quota is what the server says is left.
func (s *server) quota(t *testing.T, query string, header ...string) gjson.Result {
	t.Helper()
	resp, body := s.do(t, http.MethodGet, "/v1/quota"+query, "", header...)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.Equal(t, "quota", gjson.Get(body, "object").Str)
	return gjson.Parse(body)
}

// Whatever is used up, no face accepts one more, and nothing of it is stored or waits.
func TestQuota_Faces(t *testing.T) {
	t.Parallel()
	for code, limits := range map[completion.Code]completion.Limits{
		completion.CodeDayQuota: {CompletionsPerDay: 2, Queued: 3},
		completion.CodeAllQuota: {Completions: 2, CompletionsPerDay: 100, Queued: 3},
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			s := limited(t, limits)
			failed := s.submit(t)
			s.end(t, failed, completion.Failed)
			_, first := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
			for path, body := range map[string]string{
				"/v1/jobs":                          chat,
				"/v1/jobs/" + failed.Job + "/retry": "",
				chatPath:                            `{"model":"m","messages":[{"role":"user","content":"hi"}]}`,
				chatPath + "?streaming":             streaming(""),
				"/v1/completions":                   `{"model":"m","prompt":"hi"}`,
				"/v1/embeddings":                    `{"model":"m","input":"hi"}`,
				responsesPath:                       `{"model":"m","input":"hi"}`,
				responsesPath + "?background":       `{"model":"m","input":"hi","background":true}`,
				responsesPath + "?streaming":        `{"model":"m","input":"hi","stream":true}`,
			} {
				resp, said := s.do(t, http.MethodPost, path, body, "Content-Type", "application/json")
				requireUsedUp(t, code, resp, said)
			}
			_, list := s.do(t, http.MethodGet, "/v1/jobs", "")
			require.Len(t, gjson.Get(list, "data").Array(), 2, "what was refused is not stored")

			resp, again := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
			require.Equal(t, http.StatusAccepted, resp.StatusCode, again)
			require.Equal(t, gjson.Get(first, "id").Str, gjson.Get(again, "id").Str, "a repeat is none more")
			resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat, "Authorization", "Bearer "+s.newKey(t, "other", completion.ScopeSubmit))
			require.Equal(t, http.StatusAccepted, resp.StatusCode, body)
		})
	}
}

// The API looks for changed limits by itself.
func TestQuota_Lowered(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{Completions: 100})
	for range 3 {
		s.submit(t)
	}
	require.NoError(t, s.back.Store.SetLimits(t.Context(), "acme", completion.Limits{Completions: 2}, time.Now()))
	require.Eventually(t, func() bool { return s.quota(t, "").Get("completions.limit").Int() == 2 }, 10*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 3, s.quota(t, "").Get("completions.used").Int())
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat)
	requireUsedUp(t, completion.CodeAllQuota, resp, body)
}

func TestQuota_Read(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.submit(t)
	require.JSONEq(t, `{"object":"quota"}`, s.quota(t, "?owner=ann").Raw)
	limits := completion.Limits{Completions: 9, CompletionsPerDay: 8, OwnerCompletionsPerDay: 7}
	for _, tenant := range []string{"acme", "other"} {
		require.NoError(t, s.back.Store.SetLimits(t.Context(), tenant, limits, time.Now()))
	}
	require.NoError(t, s.back.Limit.Read(t.Context()))
	s.submit(t)
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Request: []byte(`{}`),
		Quota: limits.Quota("ann"), CreatedAt: time.Now(),
	}
	_, _, err := s.back.Store.Add(t.Context(), &job)
	require.NoError(t, err)
	got := s.quota(t, "?owner=ann")
	midnight := got.Get("completions_per_day.resets_at").Time()
	require.Equal(t, midnight, midnight.Truncate(24*time.Hour))
	require.WithinRange(t, midnight, time.Now(), time.Now().Add(24*time.Hour))
	require.Equal(t, midnight, got.Get("owner_completions_per_day.resets_at").Time())
	for path, want := range map[string]int64{
		"completions.used": 2, "completions.limit": 9, "completions_per_day.used": 2, "completions_per_day.limit": 8,
		"owner_completions_per_day.used": 1, "owner_completions_per_day.limit": 7,
	} {
		require.Equal(t, want, got.Get(path).Int(), path)
	}
	require.False(t, s.quota(t, "").Get("owner_completions_per_day").Exists())
	stranger := s.quota(t, "?owner=ann", "Authorization", "Bearer "+s.newKey(t, "other", completion.ScopeRead))
	require.Zero(t, stranger.Get("completions.used").Int(), "I8")
	require.Zero(t, stranger.Get("owner_completions_per_day.used").Int(), "I8")
}
