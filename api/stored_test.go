package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// complete makes a chat completion and returns its id.
func (s *server) complete(t *testing.T, extra string) string {
	t.Helper()
	asked := s.ask(t, chatPath, `{"model":"m","messages":[{"role":"user","content":"hi","name":"ann"},{"role":"user","content":[{"type":"text","text":"you"}]}],"temperature":0.50`+extra+`}`)
	w := s.act(t)
	w.say(first, chunk("hello"), stop, usage)
	w.end(completion.Completed, nil)
	id := gjson.Get(asked.whole(), "id").Str
	require.True(t, strings.HasPrefix(id, "chatcmpl-"), id)
	return id
}

func TestStored(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := s.complete(t, `,"store":true,"metadata":{"topic":"a"}`)
	path := chatPath + "/" + id
	resp, body := s.do(t, http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	for field, want := range map[string]string{
		"id": id, "object": "chat.completion", "choices.0.message.content": "hello", "metadata.topic": "a", "usage.total_tokens": "3", "temperature": "0.50",
	} {
		require.Equal(t, want, strings.Trim(gjson.Get(body, field).Raw, `"`), field)
	}
	require.Contains(t, body, `"tools":null`)

	resp, body = s.do(t, http.MethodPost, path, `{"metadata":{"topic":"b","x":"\u0000é<"}}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
	resp, body = s.do(t, http.MethodPost, path, `{"metadata":{"topic":"b","x":"é<"}}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.Equal(t, "é<", gjson.Get(body, "metadata.x").Str)
	resp, body = s.do(t, http.MethodPost, path, `{}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
	require.Equal(t, "metadata", gjson.Get(body, "error.param").Str)

	_, body = s.do(t, http.MethodGet, path+"/messages?limit=1", "")
	require.JSONEq(t, fmt.Sprintf(`{"object":"list","data":[{"id":"%[1]s-0","role":"user","content":"hi","name":"ann","content_parts":null}],"first_id":"%[1]s-0","last_id":"%[1]s-0","has_more":true}`, id), body)
	_, body = s.do(t, http.MethodGet, path+"/messages?limit=1&after="+id+"-0", "")
	require.Equal(t, "you", gjson.Get(body, "data.0.content_parts.0.text").Str, body)
	require.False(t, gjson.Get(body, "has_more").Bool())
	resp, body = s.do(t, http.MethodGet, path+"/messages?after=nothing", "")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)

	resp, body = s.do(t, http.MethodDelete, path, "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.JSONEq(t, `{"object":"chat.completion.deleted","id":"`+id+`","deleted":true}`, body)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		resp, body = s.do(t, method, path, "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode, body)
	}
	resp, _ = s.do(t, http.MethodGet, "/v1/jobs/job_"+strings.TrimPrefix(id, "chatcmpl-"), "")
	require.Equal(t, http.StatusNotFound, resp.StatusCode, "the job goes with it")
}

func TestStored_List(t *testing.T) {
	t.Parallel()
	s := setup(t)
	a := s.complete(t, `,"store":true,"metadata":{"topic":"a","user":"<1>"}`)
	b := s.complete(t, `,"store":true,"metadata":{"topic":"b","user":"<1>"}`)
	c := s.complete(t, `,"store":true`)
	hidden := s.complete(t, "")
	for query, want := range map[string]string{
		"": a + b + c, "?order=desc": c + b + a, "?limit=2": a + b, "?limit=2&after=" + b: c, "?order=desc&after=" + b: a,
		"?metadata[user]=%3C1%3E": a + b, "?metadata[user]=%3C1%3E&metadata[topic]=b": b, "?metadata[topic]=c": "", "?metadata[opic]=a": "",
		"?model=m": a + b + c, "?model=x": "",
	} {
		resp, body := s.do(t, http.MethodGet, chatPath+query, "")
		require.Equal(t, http.StatusOK, resp.StatusCode, body)
		got := ""
		for _, item := range gjson.Get(body, "data.#.id").Array() {
			got += item.Str
		}
		require.Equal(t, want, got, query)
		require.Equal(t, query == "?limit=2", gjson.Get(body, "has_more").Bool(), query)
		require.NotContains(t, body, hidden)
	}
	for query, param := range map[string]string{"?after=x": "after", "?limit=0": "limit", "?limit=101": "limit", "?order=up": "order"} {
		resp, body := s.do(t, http.MethodGet, chatPath+query, "")
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
		require.Equal(t, param, gjson.Get(body, "error.param").Str, body)
	}
	for _, id := range []string{hidden, "chatcmpl-", "x", "chatcmpl-%00", strings.Replace(a, "chatcmpl-", "job_", 1)} {
		resp, body := s.do(t, http.MethodGet, chatPath+"/"+id, "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode, body)
		require.Equal(t, "not_found", gjson.Get(body, "error.code").Str)
	}
}

// Stored completions are walls between tenants as well (I8).
func TestStored_I8(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := s.complete(t, `,"store":true`)
	stranger := "Bearer " + s.newKey(t, "other", completion.Scopes...)
	missing := "chatcmpl-" + strings.Repeat("0", 32)
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, "", ""}, {http.MethodGet, "/messages", ""}, {http.MethodPost, "", `{"metadata":{}}`}, {http.MethodDelete, "", ""},
	} {
		_, none := s.do(t, c.method, chatPath+"/"+missing+c.path, c.body, "Authorization", stranger)
		resp, body := s.do(t, c.method, chatPath+"/"+id+c.path, c.body, "Authorization", stranger)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, body)
		require.Equal(t, strings.ReplaceAll(none, missing, id), body, "like one that is not there")
	}
	_, body := s.do(t, http.MethodGet, chatPath, "", "Authorization", stranger)
	require.JSONEq(t, `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}`, body)
	resp, _ := s.do(t, http.MethodGet, chatPath+"/"+id, "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// What cannot be accepted is refused before anything is enqueued, and never with a 500.
func TestChat_Refuses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	messages := `"messages":[{"role":"user","content":"hi"}]`
	for name, c := range map[string]struct{ path, body, param string }{
		"empty":           {chatPath, ``, ""},
		"array":           {chatPath, `[]`, ""},
		"model":           {chatPath, `{` + messages + `}`, "model"},
		"messages":        {chatPath, `{"model":"m"}`, "messages"},
		"role":            {chatPath, `{"model":"m","messages":[{}]}`, "messages[0].role"},
		"temperature":     {chatPath, `{"model":"m","temperature":"hot",` + messages + `}`, "temperature"},
		"stream":          {chatPath, `{"model":"m","stream":1,` + messages + `}`, "stream"},
		"store":           {chatPath, `{"model":"m","store":"yes",` + messages + `}`, "store"},
		"stream options":  {chatPath, `{"model":"m","stream_options":{"include_usage":true},` + messages + `}`, "stream_options"},
		"metadata":        {chatPath, `{"model":"m","metadata":{"a":1},` + messages + `}`, "metadata.a"},
		"twice":           {chatPath, `{"model":"m","model":"n",` + messages + `}`, "model"},
		"prompt":          {"/v1/completions", `{"model":"m"}`, "prompt"},
		"prompt number":   {"/v1/completions", `{"model":"m","prompt":1}`, "prompt"},
		"prompt empty":    {"/v1/completions", `{"model":"m","prompt":[]}`, "prompt"},
		"input":           {"/v1/embeddings", `{"model":"m"}`, "input"},
		"input object":    {"/v1/embeddings", `{"model":"m","input":{}}`, "input"},
		"stream of these": {"/v1/embeddings", `{"model":"m","input":"x","stream":true}`, "stream"},
		"dimensions":      {"/v1/embeddings", `{"model":"m","input":"x","dimensions":"2"}`, "dimensions"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := s.do(t, http.MethodPost, c.path, c.body)
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
			require.Equal(t, c.param, gjson.Get(body, "error.param").Str, body)
			require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
			require.Equal(t, "invalid_request_error", gjson.Get(body, "error.type").Str)
		})
	}
	resp, body := s.do(t, http.MethodPost, chatPath, streaming(""), "X-Sluice-On-Disconnect", "maybe")
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
	resp, body = s.do(t, http.MethodPost, "/v1/moderations", `{}`)
	require.Equal(t, http.StatusNotFound, resp.StatusCode, body)
	require.Contains(t, gjson.Get(body, "error.message").Str, chatPath)
	_, list := s.do(t, http.MethodGet, "/v1/jobs", "")
	require.Empty(t, gjson.Get(list, "data").Array(), "nothing was enqueued")
}
