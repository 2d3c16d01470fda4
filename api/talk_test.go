package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

const talks = "/v1/conversations"

// ok does a request that succeeds and returns its answer.
func (s *server) ok(t *testing.T, method, path, body string, header ...string) gjson.Result {
	t.Helper()
	resp, text := s.do(t, method, path, body, header...)
	require.Less(t, resp.StatusCode, 300, text)
	return gjson.Parse(text)
}

// refused does a request that fails with a code.
func (s *server) refused(t *testing.T, status int, code, method, path, body string, header ...string) gjson.Result {
	t.Helper()
	resp, text := s.do(t, method, path, body, header...)
	require.Equal(t, status, resp.StatusCode, text)
	require.Equal(t, code, gjson.Get(text, "error.code").Str, text)
	return gjson.Get(text, "error")
}

// converse makes a conversation and returns its path.
func (s *server) converse(t *testing.T, body string) string {
	t.Helper()
	return talks + "/" + s.ok(t, http.MethodPost, talks, body).Get("id").Str
}

func TestConversation_Make(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const made = `{"name":"N","system":"S","owner":"o","parameters":{"model":"m","temperature":0.5},"metadata":{"k":"v"},
		"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}`
	resp, body := s.do(t, http.MethodPost, talks, made, "Idempotency-Key", "k")
	require.Equal(t, http.StatusCreated, resp.StatusCode, body)
	c := gjson.Parse(body)
	id := c.Get("id").Str
	require.Equal(t, talks+"/"+id, resp.Header.Get("Location"))
	for path, want := range map[string]string{
		"object": "conversation", "name": "N", "system": "S", "owner": "o", "parameters": `{"model":"m","temperature":0.5}`, "metadata": `{"k":"v"}`,
		"version": "1", "live": "[]", "subject": "completions.acme." + id, "events_url": talks + "/" + id + "/events",
	} {
		require.Equal(t, want, c.Get(path).String(), path)
	}
	require.NotEmpty(t, c.Get("stream.credential").Str)
	said := s.ok(t, http.MethodGet, talks+"/"+id+"/messages", "")
	require.JSONEq(t, `["q","a"]`, said.Get("data.#.content").Raw)
	require.JSONEq(t, `[1,2]`, said.Get("data.#.seq").Raw)
	require.Equal(t, c.Get("head").Str, said.Get("data.1.id").Str)
	require.Equal(t, said.Get("data.0.id").Str, said.Get("data.1.parent").Str)
	require.Equal(t, gjson.Null, said.Get("data.0.parent").Type)

	resp, again := s.do(t, http.MethodPost, talks, made, "Idempotency-Key", "k")
	require.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"))
	require.Equal(t, id, gjson.Get(again, "id").Str)
	s.refused(t, http.StatusConflict, "idempotency_key_conflict", http.MethodPost, talks, `{}`, "Idempotency-Key", "k")
}

func TestConversation_Turn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"system":"S","parameters":{"model":"m","temperature":0.5,"stop":["x"]}}`)
	resp, body := s.do(t, http.MethodPost, c+"/messages", `{"content":"one","parameters":{"temperature":1},"metadata":{"k":"v"}}`, "Idempotency-Key", "k")
	require.Equal(t, http.StatusAccepted, resp.StatusCode, body)
	turn := gjson.Parse(body)
	id := turn.Get("id").Str
	require.Equal(t, "/v1/jobs/"+id, resp.Header.Get("Location"))
	require.Equal(t, "job", turn.Get("object").Str)
	require.Equal(t, "completions.acme."+id, turn.Get("subject").Str)
	require.NotEmpty(t, turn.Get("stream.credential").Str)
	require.False(t, turn.Get("held").Bool())
	require.Equal(t, "v", turn.Get("metadata.k").Str)
	require.JSONEq(t, `["user","assistant"]`, turn.Get("messages.#.role").Raw)
	require.Equal(t, id, turn.Get("messages.1.id").Str)
	require.Equal(t, turn.Get("messages.0.id").Str, turn.Get("messages.1.parent").Str)
	require.JSONEq(t, `["`+id+`"]`, turn.Get("messages.1.siblings").Raw)

	job := s.ok(t, http.MethodGet, "/v1/jobs/"+id, "")
	require.Equal(t, strings.TrimPrefix(c, talks+"/"), job.Get("conversation").Str)
	stored, err := s.back.Store.Get(t.Context(), completion.Ref{Tenant: "acme", Job: id})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"m","temperature":1,"stop":["x"],"messages":[{"role":"system","content":"S"},{"role":"user","content":"one"}]}`, string(stored.Request))
	require.ErrorIs(t, s.back.Queue.Enqueue(t.Context(), stored.Task()), completion.ErrKnown, "the queue has it")

	a := s.act(t)
	a.say(chunk("an"), chunk("swer"), stop)
	_ = s.ok(t, http.MethodGet, c+"/messages", "")
	a.end(completion.Completed, nil)
	said := s.ok(t, http.MethodGet, c+"/messages/"+id, "")
	require.Equal(t, "answer", said.Get("content").Str, "as soon as the job has ended")
	require.Equal(t, "completed", said.Get("state").Str)
	s.settled(t, c, id)
	require.Equal(t, said.Raw, s.ok(t, http.MethodGet, c+"/messages/"+id, "").Raw, "and as it was once it is settled")

	resp, again := s.do(t, http.MethodPost, c+"/messages", `{"content":"one","parameters":{"temperature":1},"metadata":{"k":"v"}}`, "Idempotency-Key", "k")
	require.Equal(t, "true", resp.Header.Get("Idempotent-Replayed"), again)
	require.Equal(t, id, gjson.Get(again, "id").Str)
	require.JSONEq(t, turn.Get("messages.#.id").Raw, gjson.Get(again, "messages.#.id").Raw)
	s.refused(t, http.StatusConflict, "idempotency_key_conflict", http.MethodPost, c+"/regenerate", `{}`, "Idempotency-Key", "k")
}

// settled waits until the answer is kept with its message.
func (s *server) settled(t *testing.T, conversation, id string) {
	t.Helper()
	require.Eventually(t, func() bool {
		open, err := s.back.Store.Unsettled(t.Context(), 100)
		require.NoError(t, err)
		for _, m := range open {
			if m.ID == id {
				return false
			}
		}
		return true
	}, 10*time.Second, 5*time.Millisecond)
}
