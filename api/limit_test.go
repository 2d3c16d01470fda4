package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// limited is a server whose tenant acme is limited, and nobody else.
func limited(t *testing.T, l completion.Limits) *server {
	t.Helper()
	s := setup(t)
	require.NoError(t, s.back.Store.SetLimits(t.Context(), "acme", l, time.Now()))
	require.NoError(t, s.back.Limit.Read(t.Context()))
	return s
}

// requireLimited checks an answer that says no for now.
func requireLimited(t *testing.T, code string, resp *http.Response, body string) {
	t.Helper()
	require.Equal(t, http.StatusTooManyRequests, resp.StatusCode, body)
	require.Equal(t, code, gjson.Get(body, "error.code").Str)
	require.Equal(t, "rate_limit_error", gjson.Get(body, "error.type").Str)
	after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, after)
	require.NotEmpty(t, resp.Header.Get("Retry-After-Ms"))
	require.Empty(t, resp.Header.Get("X-Should-Retry"))
}

func TestLimit_Submits(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{SubmitsPerSecond: 0.001})
	ref := s.submit(t)
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat)
	requireLimited(t, "rate_limit_exceeded", resp, body)
	resp, body = s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/retry", "")
	requireLimited(t, "rate_limit_exceeded", resp, body)
	resp, body = s.do(t, http.MethodPost, "/v1/jobs", chat, "Authorization", "Bearer "+s.newKey(t, "other", completion.ScopeSubmit))
	require.Equal(t, http.StatusAccepted, resp.StatusCode, body)
}

// However many submit at once, no more wait than may.
func TestLimit_Queued(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{Queued: 5})
	var accepted atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/jobs", strings.NewReader(chat))
			if err != nil {
				panic(err)
			}
			req.Header.Set("Authorization", "Bearer "+s.key)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				panic(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode == http.StatusAccepted {
				accepted.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 5, accepted.Load())
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat)
	requireLimited(t, "queue_limit_exceeded", resp, body)
	_, list := s.do(t, http.MethodGet, "/v1/jobs", "")
	require.Len(t, gjson.Get(list, "data").Array(), 5, "what was refused is not stored")
	resp, body = s.do(t, http.MethodPost, "/v1/jobs", strings.Replace(chat, `"request"`, `"lane":"batch","request"`, 1))
	require.Equal(t, http.StatusAccepted, resp.StatusCode, body, "each lane by itself")
	resp, body = s.do(t, http.MethodPost, "/v1/jobs/"+gjson.Get(list, "data.0.id").Str+"/cancel", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	s.submit(t)
}

func TestLimit_Queued_RepeatJoins(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{Queued: 1})
	_, first := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
	resp, second := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
	require.Equal(t, http.StatusAccepted, resp.StatusCode, second)
	require.Equal(t, gjson.Get(first, "id").Str, gjson.Get(second, "id").Str)
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", strings.Replace(chat, "hi", "ho", 1), "Idempotency-Key", "k")
	require.Equal(t, http.StatusConflict, resp.StatusCode, body)
	resp, body = s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "other")
	requireLimited(t, "queue_limit_exceeded", resp, body)
}

func TestLimit_Body(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{BodyBytes: int64(len(chat))})
	s.submit(t)
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat+" ")
	require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, body)
	require.Contains(t, gjson.Get(body, "error.message").Str, strconv.Itoa(len(chat)))
}

func TestLimit_Streams(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{Streams: 1})
	ref := s.submit(t)
	s.say(t, ref, completion.EventStarted)
	first := s.open(t, ref.Job)
	resp, body := s.do(t, http.MethodGet, "/v1/jobs/"+ref.Job+"/events", "")
	requireLimited(t, "stream_limit_exceeded", resp, body)
	require.NoError(t, first.Body.Close())
	require.Eventually(t, func() bool { return s.opens(ref.Job) }, time.Minute, 10*time.Millisecond, "its place is free")
}

// The OpenAI endpoints hold tenants to the same limits, before anything is enqueued.
func TestLimit_Chat(t *testing.T) {
	t.Parallel()
	whole := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	for code, c := range map[string]struct {
		limits        completion.Limits
		first, second string
	}{
		"rate_limit_exceeded":   {completion.Limits{SubmitsPerSecond: 0.001}, whole, whole},
		"queue_limit_exceeded":  {completion.Limits{Queued: 1}, whole, whole},
		"stream_limit_exceeded": {completion.Limits{Streams: 1}, streaming(""), streaming("")},
		"request_too_large":     {completion.Limits{BodyBytes: int64(len(whole))}, whole, whole + " "},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := limited(t, c.limits)
			s.ask(t, chatPath, c.first)
			queued := func() int {
				_, list := s.do(t, http.MethodGet, "/v1/jobs", "")
				return len(gjson.Get(list, "data").Array())
			}
			require.Eventually(t, func() bool { return queued() == 1 }, 10*time.Second, time.Millisecond)
			resp, body := s.do(t, http.MethodPost, chatPath, c.second)
			if code == "request_too_large" {
				require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode, body)
			} else {
				requireLimited(t, code, resp, body)
			}
			require.Equal(t, 1, queued())
		})
	}
}

// A stream's place is free again when it has ended.
func TestLimit_Chat_PlaceIsGivenUp(t *testing.T) {
	t.Parallel()
	s := limited(t, completion.Limits{Streams: 1})
	for range 3 {
		asked := s.ask(t, chatPath, streaming(""))
		w := s.act(t)
		w.say(first, chunk("x"), stop)
		w.end(completion.Completed, nil)
		text, end := asked.rest()
		require.Equal(t, "x", text)
		require.Equal(t, "[DONE]", end)
		require.Empty(t, asked.data())
		require.Eventually(t, func() bool {
			place, err := s.back.Limit.Stream(t.Context(), "acme")
			if err == nil {
				place.Close()
			}
			return err == nil
		}, 10*time.Second, time.Millisecond)
	}
}
