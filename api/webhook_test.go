package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api"
	"sluice/shared/completion"
)

// delivering lets an API send webhooks, to this machine too.
func delivering(c *api.Config) {
	c.Webhooks.Private, c.Webhooks.Timeout, c.Webhooks.Slots = "allow", 10*time.Second, 2
}

// received is what a receiver of webhooks got.
type received struct {
	header http.Header
	body   []byte
}

// receiver answers webhooks with a status and passes them on.
func receiver(t *testing.T, status int) (url string, got <-chan received) {
	t.Helper()
	all := make(chan received, 64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is missing fails the signature
		all <- received{r.Header, body}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, all
}

// register makes a webhook and returns it with its secret.
func (s *server) register(t *testing.T, body string) gjson.Result {
	t.Helper()
	resp, made := s.do(t, http.MethodPost, "/v1/webhooks", body, "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, resp.StatusCode, made)
	return gjson.Parse(made)
}

func (r received) verify(t *testing.T, secret string) error {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	return w.Verify(r.body, r.header)
}

// call sends JSON to a route that must answer with the status.
func (s *server) call(t *testing.T, method, path, body string, status int) gjson.Result {
	t.Helper()
	resp, answer := s.do(t, method, path, body, "Content-Type", "application/json")
	require.Equal(t, status, resp.StatusCode, answer)
	return gjson.Parse(answer)
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	s := setup(t, delivering)
	url, got := receiver(t, http.StatusOK)
	hook := s.register(t, `{"url":"`+url+`","events":["job.*"],"description":"ops"}`)
	path, secret := "/v1/webhooks/"+hook.Get("id").Str, hook.Get("secret").Str
	require.Equal(t, []any{"ops", true, "webhook", nil}, []any{hook.Get("description").Str, hook.Get("enabled").Bool(), hook.Get("object").Str, hook.Get("disabled_reason").Value()})

	ref := s.submit(t)
	s.call(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "", http.StatusOK)
	event := <-got
	require.NoError(t, event.verify(t, secret))
	require.Equal(t, "job.cancelled", gjson.GetBytes(event.body, "type").Str)
	require.Equal(t, ref.Job, gjson.GetBytes(event.body, "data.id").Str)
	require.Equal(t, ref.Subject(), gjson.GetBytes(event.body, "data.subject").Str)

	rotated := s.call(t, http.MethodPost, path+"/rotate", "", http.StatusOK)
	require.NotEmpty(t, rotated.Get("old_secret_until").Str)
	test := s.call(t, http.MethodPost, path+"/test", "", http.StatusAccepted)
	require.Equal(t, "pending", test.Get("state").Str)
	event = <-got
	require.NoError(t, event.verify(t, secret), "the old secret signs along")
	require.NoError(t, event.verify(t, rotated.Get("secret").Str))
	require.Equal(t, "webhook.test", gjson.GetBytes(event.body, "type").Str)
	require.JSONEq(t, test.Get("event").Raw, string(event.body))

	var page gjson.Result
	require.Eventually(t, func() bool {
		page = s.call(t, http.MethodGet, path+"/deliveries?state=delivered&limit=1", "", http.StatusOK)
		return page.Get("has_more").Bool()
	}, time.Minute, 10*time.Millisecond)
	newest := page.Get("data.0")
	require.Equal(t, test.Get("id").Str, newest.Get("id").Str, "newest first")
	require.EqualValues(t, http.StatusOK, newest.Get("last_status").Int())
	page = s.call(t, http.MethodGet, path+"/deliveries?after="+page.Get("last_id").Str, "", http.StatusOK)
	require.Len(t, page.Get("data").Array(), 1)
	require.False(t, page.Get("has_more").Bool())

	s.call(t, http.MethodPost, path+"/deliveries/"+newest.Get("id").Str+"/resend", "", http.StatusAccepted)
	again := <-got
	require.Equal(t, event.header.Get("webhook-id"), again.header.Get("webhook-id"))
	require.Equal(t, event.body, again.body)
	for _, read := range []string{path, "/v1/webhooks", path + "/deliveries"} {
		require.NotContains(t, s.call(t, http.MethodGet, read, "", http.StatusOK).Raw, "whsec_", "a secret is shown once")
	}
	require.True(t, s.call(t, http.MethodDelete, path, "", http.StatusOK).Get("deleted").Bool())
	s.call(t, http.MethodGet, path, "", http.StatusNotFound)
	s.call(t, http.MethodGet, path+"/deliveries", "", http.StatusNotFound)
}

func TestWebhooks_Change(t *testing.T) {
	t.Parallel()
	s := setup(t)
	hook := s.register(t, `{"url":"https://example.org/a"}`)
	require.Equal(t, `["*"]`, hook.Get("events").Raw)
	path := "/v1/webhooks/" + hook.Get("id").Str
	changed := s.call(t, http.MethodPost, path, `{"enabled":false,"events":["response.failed"]}`, http.StatusOK)
	require.False(t, changed.Get("enabled").Bool())
	require.Equal(t, `["response.failed"]`, changed.Get("events").Raw)
	require.Equal(t, "https://example.org/a", changed.Get("url").Str)
	require.Equal(t, "The webhook is not enabled.", s.call(t, http.MethodPost, path+"/test", "", http.StatusBadRequest).Get("error.message").Str)
	changed = s.call(t, http.MethodPost, path, `{"enabled":true,"url":"https://example.org/b","description":"x"}`, http.StatusOK)
	require.Equal(t, changed.Raw, s.call(t, http.MethodGet, path, "", http.StatusOK).Raw)
	require.Equal(t, []any{true, "https://example.org/b", "x"}, []any{changed.Get("enabled").Bool(), changed.Get("url").Str, changed.Get("description").Str})
}

func TestWebhooks_BadInput(t *testing.T) {
	t.Parallel()
	s := setup(t)
	hook := s.register(t, `{"url":"https://example.org"}`)
	for body, param := range map[string]string{
		`{}`:                                      "",
		`{"url":5}`:                               "url",
		`{"url":"http://example.org"}`:            "url",
		`{"url":"https://127.0.0.1/"}`:            "url",
		`{"url":"https://u:p@example.org/"}`:      "url",
		`{"url":"https://[::1]:x/"}`:              "url",
		`{"url":"https://example.org/\u0000"}`:    "url",
		`{"url":"https://e.org","events":[]}`:     "events",
		`{"url":"https://e.org","events":["x"]}`:  "events",
		`{"url":"https://e.org","secret":"mine"}`: "secret",
		`{"url":"https://e.org","description":"` + strings.Repeat("x", 257) + `"}`: "description",
	} {
		answer := s.call(t, http.MethodPost, "/v1/webhooks", body, http.StatusBadRequest)
		require.Equal(t, param, answer.Get("error.param").Str, "%s: %s", body, answer)
		if body != `{}` {
			answer = s.call(t, http.MethodPost, "/v1/webhooks/"+hook.Get("id").Str, body, http.StatusBadRequest)
			require.Equal(t, param, answer.Get("error.param").Str, "%s: %s", body, answer)
		}
	}
	path := "/v1/webhooks/" + hook.Get("id").Str + "/deliveries"
	for query, param := range map[string]string{"?limit=0": "limit", "?limit=x": "limit", "?state=odd": "state", "?after=%00": "after", "?after=A": "after"} {
		require.Equal(t, param, s.call(t, http.MethodGet, path+query, "", http.StatusBadRequest).Get("error.param").Str)
	}
	for _, id := range []string{"x", "%00", "%ff", "whk_" + strings.Repeat("0", 32), strings.Repeat("x", 5000)} {
		s.call(t, http.MethodGet, "/v1/webhooks/"+id, "", http.StatusNotFound)
		s.call(t, http.MethodPost, path+"/"+id+"/resend", "", http.StatusNotFound)
	}
	for n := 1; n < completion.MaxWebhooks; n++ {
		s.register(t, `{"url":"https://example.org"}`)
	}
	answer := s.call(t, http.MethodPost, "/v1/webhooks", `{"url":"https://example.org"}`, http.StatusConflict)
	require.Equal(t, "webhook_limit_exceeded", answer.Get("error.code").Str)
}
