package api_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/api"
	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// attend follows a conversation.
func (s *server) attend(t *testing.T, conversation string) (*http.Response, *bufio.Reader) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+conversation+"/events", http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() }) // it may be at its end
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	return resp, bufio.NewReader(resp.Body)
}

// version reads the next version that is told.
func version(t *testing.T, r *bufio.Reader) int64 {
	t.Helper()
	require.Equal(t, "event: changed", field(t, r, "event: "))
	data := gjson.Parse(field(t, r, "data: ")[len("data: "):])
	require.Equal(t, "changed", data.Get("type").Str)
	return data.Get("version").Int()
}

// Who follows a conversation is told of whatever becomes different, by SSE and by NATS.
func TestConversation_Events(t *testing.T) {
	t.Parallel()
	s := setup(t)
	c := s.converse(t, `{"name":"N","parameters":{"model":"m"}}`)
	opened := s.ok(t, http.MethodPost, c+"/credential", "")
	require.Equal(t, "completions.acme."+c[len(talks)+1:], opened.Get("subject").Str)
	nc, err := nats.Connect(opened.Get("websocket_url").Str, testkit.Bearer(opened.Get("credential").Str))
	require.NoError(t, err)
	defer nc.Close()
	sub, err := nc.SubscribeSync(opened.Get("subject").Str)
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	_, lines := s.attend(t, c)
	require.EqualValues(t, 1, version(t, lines), "the present one first")
	s.ok(t, http.MethodPatch, c, `{"name":"M"}`)
	require.EqualValues(t, 2, version(t, lines))
	id := s.turn(t, c, `{"content":"1"}`).Get("id").Str
	require.EqualValues(t, 3, version(t, lines))
	s.reply(t, id, "a1")
	require.EqualValues(t, 4, version(t, lines), "it was settled")
	s.ok(t, http.MethodPut, c+"/messages/"+id+"/rating", `{"rating":1}`)
	require.EqualValues(t, 5, version(t, lines))
	for want := range 4 {
		m, err := sub.NextMsg(10 * time.Second)
		require.NoError(t, err)
		require.EqualValues(t, want+2, gjson.GetBytes(m.Data, "version").Int())
	}
	_, err = s.back.Store.Converse(t.Context(), completion.Ref{Tenant: "acme", Job: c[len(talks)+1:]}, time.Now(), func(_ context.Context, talk *store.Talk) error {
		talk.Name = "whispered"
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 6, version(t, lines), "also of what nobody has told")
	s.ok(t, http.MethodDelete, c, "")
	_, err = io.ReadAll(lines)
	require.NoError(t, err, "the stream ends with the conversation")
	s.refused(t, http.StatusNotFound, "not_found", http.MethodGet, c+"/events", "")
}

func TestConversation_Events_ServerStops(t *testing.T) {
	t.Parallel()
	s := setup(t)
	_, lines := s.attend(t, s.converse(t, "{}"))
	require.EqualValues(t, 1, version(t, lines))
	s.stop()
	require.Equal(t, "event: reconnect", field(t, lines, "event: reconnect"))
	_, err := io.ReadAll(lines)
	require.NoError(t, err)
}

// What is not said by the request is said by the conversation, its tenant, and the server, in this order.
func TestTurn_Precedence(t *testing.T) {
	t.Parallel()
	s := setup(t, func(c *api.Config) {
		c.ChatParameters, c.ChatSystem = `{"model":"server","temperature":0.1,"top_p":0.1,"seed":1,"presence_penalty":0.1}`, "of the server"
	})
	require.Equal(t, "of the server", s.ok(t, http.MethodPost, talks, "").Get("system").Str)
	top, seed := 0.2, int64(2)
	require.NoError(t, s.back.Store.SetPreset(t.Context(), "acme", completion.Preset{
		System: "of the tenant", Parameters: completion.Parameters{Model: "tenant", TopP: &top, Seed: &seed},
	}, time.Now()))
	made := s.ok(t, http.MethodPost, talks, `{"parameters":{"temperature":0.3,"seed":3}}`)
	require.Equal(t, "of the tenant", made.Get("system").Str)
	require.Empty(t, s.ok(t, http.MethodPost, talks, `{"system":""}`).Get("system").Str, "it may be overridden with nothing")
	turn := s.turn(t, talks+"/"+made.Get("id").Str, `{"content":"1","parameters":{"seed":4}}`)
	job, err := s.back.Store.Get(t.Context(), completion.Ref{Tenant: "acme", Job: turn.Get("id").Str})
	require.NoError(t, err)
	require.JSONEq(t, `{"model":"tenant","temperature":0.3,"top_p":0.2,"seed":4,"presence_penalty":0.1,"messages":[`+
		said("system", "of the tenant")+","+said("user", "1")+"]}", string(job.Request))
}

func TestConfig_Chat(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{`{"temperature":3}`: "temperature", `{"x":1}`: `"x"`, `[]`: "JSON object", `{`: "not valid JSON"} {
		err := api.Config{ChatParameters: given}.Validate()
		require.ErrorContains(t, err, "SLUICE_CHAT_PARAMETERS")
		require.ErrorContains(t, err, want)
	}
}

func TestConversation_Refusals(t *testing.T) {
	t.Parallel()
	s := setup(t)
	require.NoError(t, s.back.Store.SetModels(t.Context(), completion.ModelList{Upstream: "u", SeenAt: time.Now()}))
	c := s.converse(t, `{"parameters":{"model":"m"}}`)
	for name, r := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		code, param        string
	}{
		"empty":         {"POST", c + "/messages", "", nil, 400, "invalid_request", ""},
		"content":       {"POST", c + "/messages", "{}", nil, 400, "invalid_request", "content"},
		"parameters":    {"POST", c + "/messages", `{"content":"x","parameters":{"temperature":9}}`, nil, 400, "invalid_request", "parameters.temperature"},
		"form":          {"POST", c + "/messages", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", ""},
		"patch by form": {"PATCH", c, "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_media_type", ""},
		"key":           {"POST", c + "/messages", `{"content":"x"}`, []string{"Idempotency-Key", "é"}, 400, "invalid_request", "Idempotency-Key"},
		"no such":       {"POST", talks + "/conv_0/messages", `{"content":"x"}`, nil, 404, "not_found", ""},
		"impossible":    {"GET", talks + "/%2e%2e", "", nil, 404, "not_found", ""},
		"no message":    {"GET", c + "/messages/msg_0", "", nil, 404, "not_found", ""},
		"bad message":   {"GET", c + "/messages/X", "", nil, 404, "not_found", ""},
		"edit nothing":  {"POST", c + "/messages/msg_0/edit", `{"content":"x"}`, nil, 404, "not_found", ""},
		"branch":        {"PATCH", c, `{"branch":"msg_0"}`, nil, 400, "invalid_request", "branch"},
		"no branch":     {"PATCH", c, `{"branch":""}`, nil, 400, "invalid_request", "branch"},
		"before":        {"GET", c + "/messages?before=msg_0", "", nil, 400, "invalid_request", "before"},
		"limit":         {"GET", c + "/messages?limit=201", "", nil, 400, "invalid_request", "limit"},
		"cursor":        {"GET", talks + "?after=A*", "", nil, 400, "invalid_request", "after"},
		"method":        {"PUT", c, "{}", nil, 405, "method_not_allowed", ""},
		"no model":      {"POST", s.converse(t, "{}") + "/messages", `{"content":"x"}`, nil, 400, "invalid_request", "parameters.model"},
	} {
		t.Run(name, func(t *testing.T) {
			told := s.refused(t, r.status, r.code, r.method, r.path, r.body, r.header...)
			require.Equal(t, r.param, told.Get("param").Str)
		})
	}
	require.Empty(t, s.ok(t, http.MethodGet, c+"/messages", "").Get("data").Array(), "nothing was said")
}
