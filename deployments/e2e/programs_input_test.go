package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

const tooLarge = 10<<20 + 1 // bytes

// refusals are requests that must be refused with an envelope that names the field.
var refusals = []struct {
	name, method, path, body, contentType string
	status                                int
	code                                  completion.Code
	param                                 string
}{
	{name: "empty", body: " ", status: 400, code: completion.CodeInvalidJSON},
	{name: "malformed", body: `{"request":`, status: 400, code: completion.CodeInvalidJSON},
	{name: "not UTF-8", body: "{\"request\":\"\xff\"}", status: 400, code: completion.CodeInvalidJSON},
	{name: "not an object", body: `[]`, status: 400, code: completion.CodeInvalidRequest},
	{name: "no request", body: `{}`, status: 400, code: completion.CodeInvalidRequest, param: "request"},
	{name: "request is text", body: `{"request":"x"}`, status: 400, code: completion.CodeInvalidRequest, param: "request"},
	{name: "no model", body: `{"request":{"messages":[{"role":"user","content":"x"}]}}`, status: 400, code: completion.CodeInvalidRequest, param: "request.model"},
	{name: "no messages", body: `{"request":{"model":"sim"}}`, status: 400, code: completion.CodeInvalidRequest, param: "request.messages"},
	{name: "empty messages", body: `{"request":{"model":"sim","messages":[]}}`, status: 400, code: completion.CodeInvalidRequest, param: "request.messages"},
	{name: "no role", body: `{"request":{"model":"sim","messages":[{"content":"x"}]}}`, status: 400, code: completion.CodeInvalidRequest, param: "request.messages[0].role"},
	{name: "wrong type", body: `{"request":{"model":"sim","messages":[{"role":"user","content":"x"}],"temperature":"hot"}}`, status: 400, code: completion.CodeInvalidRequest, param: "request.temperature"},
	{name: "NUL", body: `{"request":{"model":"sim","messages":[{"role":"user","content":"\u0000"}]}}`, status: 400, code: completion.CodeInvalidRequest, param: "request.messages[0].content"},
	{name: "lone surrogate", body: `{"request":{"model":"sim","messages":[{"role":"user","content":"\ud800"}]}}`, status: 400, code: completion.CodeInvalidRequest, param: "request.messages[0].content"},
	{name: "unknown lane", body: `{"request":{"model":"sim","messages":[{"role":"user","content":"x"}]},"lane":"fast"}`, status: 400, code: completion.CodeInvalidRequest, param: "lane"},
	{name: "unknown field", body: `{"request":{"model":"sim","messages":[{"role":"user","content":"x"}]},"priority":1}`, status: 400, code: completion.CodeInvalidRequest, param: "priority"},
	{name: "metadata of numbers", body: `{"request":{"model":"sim","messages":[{"role":"user","content":"x"}]},"metadata":{"a":1}}`, status: 400, code: completion.CodeInvalidRequest, param: "metadata.a"},
	{name: "nested", body: `{"request":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, status: 400, code: completion.CodeInvalidRequest, param: "request"},
	{name: "too large", body: `{"request":"` + strings.Repeat("x", tooLarge-len(`{"request":""}`)) + `"}`, status: 413, code: completion.CodeTooLarge},
	{name: "a form", body: "request=1", contentType: "application/x-www-form-urlencoded", status: 415, code: completion.CodeMediaType},
	{name: "unknown job", method: http.MethodGet, path: "/v1/jobs/job_none", status: 404, code: completion.CodeNotFound},
	{name: "impossible job", method: http.MethodGet, path: "/v1/jobs/" + strings.Repeat("A", 1000), status: 404, code: completion.CodeNotFound},
	{name: "subject for a job", method: http.MethodGet, path: "/v1/jobs/*/events", status: 404, code: completion.CodeNotFound},
	{name: "cancel of an unknown job", path: "/v1/jobs/job_none/cancel", status: 404, code: completion.CodeNotFound},
	{name: "unknown route", method: http.MethodGet, path: "/v1/nothing", status: 404, code: completion.CodeNotFound},
	{name: "wrong method", method: http.MethodDelete, path: "/v1/jobs", status: 405, code: completion.CodeMethod},
	{name: "wrong method of a job", method: http.MethodPut, path: "/v1/jobs/job_none", status: 405, code: completion.CodeMethod},
	{name: "bad cursor", method: http.MethodGet, path: "/v1/jobs?after=A.B", status: 400, code: completion.CodeInvalidRequest, param: "after"},
	{name: "limit 0", method: http.MethodGet, path: "/v1/jobs?limit=0", status: 400, code: completion.CodeInvalidRequest, param: "limit"},
	{name: "limit 101", method: http.MethodGet, path: "/v1/jobs?limit=101", status: 400, code: completion.CodeInvalidRequest, param: "limit"},
	{name: "limit x", method: http.MethodGet, path: "/v1/jobs?limit=x", status: 400, code: completion.CodeInvalidRequest, param: "limit"},
	{name: "unknown state", method: http.MethodGet, path: "/v1/jobs?state=done", status: 400, code: completion.CodeInvalidRequest, param: "state"},
	{name: "bad time", method: http.MethodGet, path: "/v1/jobs?created_after=yesterday", status: 400, code: completion.CodeInvalidRequest, param: "created_after"},
	{name: "bad seq", method: http.MethodGet, path: "/v1/jobs/job_none/events?after=-1", status: 400, code: completion.CodeInvalidRequest, param: "after"},
}

func (c *cluster) badInput(t *testing.T) {
	t.Parallel()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			method, path, contentType := r.method, r.path, r.contentType
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = "/v1/jobs"
			}
			if contentType == "" {
				contentType = "application/json"
			}
			a := c.apis[0].do(t, method, path, r.body, "Content-Type", contentType)
			a.refused(t, r.status, r.code, r.param)
			require.Equal(t, "false", a.header.Get("X-Should-Retry"))
			require.NotEmpty(t, a.header.Get("X-Request-Id"))
			require.Equal(t, r.status == http.StatusMethodNotAllowed, a.header.Get("Allow") != "", "Allow")
			list := c.apis[1].get(t, "/v1/jobs?model=sim")
			require.Equal(t, "[]", gjson.Get(list.body, "data").Raw, "no other test has jobs for this model")
		})
	}
}

// oddAnswers are what upstreams send that is hard to keep.
var oddAnswers = map[string]string{
	"Nul":            "nul=1",
	"NotUTF8":        "bad_utf8=1",
	"ManyIDs":        "id_changes=1&null_content=1&comments=2",
	"NoDone":         "nodone=1",
	"Large":          "big=300000",
	"Empty":          "tokens=0",
	"ClosedKeptOpen": "keepalive_close=1",
}

func (c *cluster) oddAnswer(t *testing.T) {
	t.Parallel()
	for name, directives := range oddAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := c.apis[0].submit(t, "tps=0&"+directives)
			story := c.apis[1].sse(t, job, 0).end(t, 0)
			require.Equal(t, completion.EventCompleted, story[len(story)-1].Type, types(story))
			stored := c.apis[1].read(t, job.ID)
			require.Equal(t, content(stored), text(story...), "I4")
		})
	}
}
