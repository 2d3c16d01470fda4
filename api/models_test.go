package api_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api"
	"sluice/shared/completion"
)

func TestModels_NothingKnown(t *testing.T) {
	t.Parallel()
	s := setup(t)
	resp, body := s.do(t, http.MethodGet, "/v1/models", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.JSONEq(t, `{"object":"list","data":[]}`, body)
	resp, body = s.do(t, http.MethodGet, "/v1/models/", "")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
}

func TestModels(t *testing.T) {
	t.Parallel()
	s := setup(t)
	at := time.Now()
	gpt := `{"id":"openai/gpt-4o","object":"model","created":1,"owned_by":"openai","context_length":1.50}`
	for upstream, models := range map[string]string{
		"a": `[{"id":"é","object":"model","created":2,"owned_by":"a"},` + gpt + `]`,
		"b": `[{"id":"openai/gpt-4o","object":"model","created":9,"owned_by":"b"},{"id":"a b","object":"model","created":3,"owned_by":"b"}]`, "c": "",
	} {
		require.NoError(t, s.back.Store.SetModels(t.Context(), completion.ModelList{Upstream: upstream, Models: []byte(models), SeenAt: at}))
	}
	resp, body := s.do(t, http.MethodGet, "/v1/models", "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.Equal(t, `["a b","openai/gpt-4o","é"]`, gjson.Get(body, "data.#.id").Raw, "sorted, each once")

	for _, path := range []string{"/v1/models/openai/gpt-4o", "/v1/models/openai%2Fgpt-4o", "/v1/models/openai%2fgpt%2D4o"} {
		resp, body = s.do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
		require.JSONEq(t, gpt, body, "of the first upstream by name")
		require.Equal(t, "1.50", gjson.Get(body, "context_length").Raw)
	}
	for _, path := range []string{"/v1/models/a%20b", "/v1/models/%C3%A9", "/v1/models/é"} {
		resp, body = s.do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
	}
	for _, path := range []string{"/v1/models/gpt-4o", "/v1/models/openai", "/v1/models/openai/gpt-4o/x", "/v1/models/%00%ff"} {
		resp, body = s.do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode, "%s: %s", path, body)
		require.Equal(t, "model_not_found", gjson.Get(body, "error.code").Str)
		require.Equal(t, "model", gjson.Get(body, "error.param").Str)
		require.Equal(t, "invalid_request_error", gjson.Get(body, "error.type").Str)
		require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
	}
	resp, body = s.do(t, http.MethodPost, "/v1/jobs", chat)
	require.Equal(t, http.StatusAccepted, resp.StatusCode, "a job may name any model: %s", body)
}

// TestModels_Unknown asks for a model that no upstream lists: it is refused before anything is enqueued, and only where
// that is wanted.
func TestModels_Unknown(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"/v1/chat/completions": `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "/v1/completions": `{"model":"m","prompt":"hi"}`, "/v1/embeddings": `{"model":"m","input":"hi"}`,
		responsesPath: question(""),
	}
	list := completion.ModelList{Upstream: "u", Models: []byte(`[{"id":"sim"}]`), SeenAt: time.Now()}
	s := setup(t)
	require.NoError(t, s.back.Store.SetModels(t.Context(), list))
	for path, body := range bodies {
		resp, text := s.do(t, http.MethodPost, path, body)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, text)
		require.JSONEq(t, `{"error":{"message":"The model 'm' does not exist or you do not have access to it.","type":"invalid_request_error","param":"model","code":"model_not_found"}}`, text)
		require.Empty(t, resp.Header.Get("X-Sluice-Job-Id"))
	}
	_, jobs := s.do(t, http.MethodGet, "/v1/jobs", "")
	require.Empty(t, gjson.Get(jobs, "data").Array())

	s = setup(t, func(c *api.Config) { c.UnknownModels = api.PassUnknown })
	require.NoError(t, s.back.Store.SetModels(t.Context(), list))
	for path, body := range bodies {
		asked := s.ask(t, path, body)
		require.Equal(t, path, string(s.act(t).job.Endpoint), "the worker got it")
		asked.leave()
	}
}

// A repeat joins its job, whatever has become of the model since.
func TestModels_I7_RepeatOfAModelThatIsGone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.NoError(t, s.back.Store.SetModels(t.Context(), completion.ModelList{Upstream: "u", Models: []byte(`[{"id":"sim"}]`), SeenAt: time.Now()}))
	body := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	sum := sha256.Sum256([]byte(chatPath + "\n" + body))
	job := completion.Job{
		ID: completion.NewJobID(), Tenant: "acme", Lane: completion.LaneInteractive, State: completion.Queued, Model: "m", Request: []byte(body),
		IdempotencyKey: "k", BodyHash: hex.EncodeToString(sum[:]), CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	_, _, err := s.back.Store.Add(t.Context(), &job)
	require.NoError(t, err)
	asked := s.ask(t, chatPath, body, "Idempotency-Key", "k")
	w := s.act(t)
	require.Equal(t, job.ID, w.job.ID)
	w.say(first, chunk("hello"), stop)
	w.end(completion.Completed, nil)
	require.Equal(t, "hello", gjson.Get(asked.whole(), "choices.0.message.content").Str)
	for key, want := range map[string]int{"k": http.StatusConflict, "other": http.StatusNotFound} {
		resp, text := s.do(t, http.MethodPost, chatPath, strings.Replace(body, "hi", "ho", 1), "Idempotency-Key", key)
		require.Equal(t, want, resp.StatusCode, text)
	}
}
