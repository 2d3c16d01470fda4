package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/testkit"
)

// operation is one route of the OpenAPI document.
type operation struct {
	method, path string
	scope        completion.Scope // empty: open to all
}

// operations lists the whole surface, as the server itself describes it.
func (s *server) operations(t *testing.T) []operation {
	t.Helper()
	_, doc := s.do(t, http.MethodGet, "/openapi.json", "")
	var all []operation
	for path, item := range gjson.Get(doc, "paths").Map() {
		for method, op := range item.Map() {
			all = append(all, operation{strings.ToUpper(method), path, completion.Scope(op.Get("security.0.key.0").Str)})
		}
	}
	return all
}

// open are the routes that need no key. A new route is not among them unless it is named here.
var open = []string{"/healthz", "/readyz"}

// bodies are those of routes that take one.
var bodies = map[string]string{
	"/v1/jobs": chat, "/v1/keys": `{"name":"x"}`, chatPath: streaming(""), chatPath + "/{id}": `{"metadata":{}}`,
	"/v1/webhooks": `{"url":"https://example.org"}`, "/v1/webhooks/{id}": `{}`,
	"/v1/completions": `{"model":"m","prompt":"hi"}`, "/v1/embeddings": `{"model":"m","input":"hi"}`,
	responsesPath: `{"model":"m","input":"hi"}`,
	"/v1/batches": `{"input_file_id":"file-1","endpoint":"/v1/embeddings","completion_window":"1h"}`,
	talks:         `{}`, talks + "/{id}": `{}`, talks + "/{id}/messages": `{"content":"hi"}`, talks + "/{id}/messages/{message}/edit": `{"content":"hi"}`,
	talks + "/{id}/regenerate": `{}`, talks + "/{id}/messages/{message}/rating": `{"rating":1}`, talks + "/{id}/clone": `{}`,
	talks + "/{id}/completions": `{"content":"hi"}`, talks + "/{id}/suggestions": `{}`, talks + "/{id}/name": `{}`,
}

// TestWall_I8_Routes is the matrix: every route with every kind of bad key, and as another tenant.
func TestWall_I8_Routes(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	key := completion.KeyOf("sk-sluice-other-of-acme", "acme", completion.Scopes, time.Now())
	require.NoError(t, s.back.Store.AddKey(t.Context(), key))
	hook := completion.NewWebhook("acme", "https://example.org", []string{"*"}, time.Now())
	require.NoError(t, s.back.Store.AddWebhook(t.Context(), hook))
	file := s.upload(t, "batch", "in.jsonl", "{}").ID
	batch := completion.Batch{ID: completion.NewBatchID(), Tenant: "acme", State: completion.BatchCompleted, Endpoint: completion.EndpointChat, Input: file, CreatedAt: time.Now()}
	_, _, err := s.back.Store.AddBatch(t.Context(), batch)
	require.NoError(t, err)
	turn := s.turn(t, s.converse(t, `{"parameters":{"model":"m"}}`), `{"content":"hi"}`)
	talk, question := turn.Get("conversation").Str, turn.Get("messages.0.id").Str
	ours := map[string]string{talks + "/{id}": talk, "/v1/jobs/{id}": ref.Job, "/v1/keys/{id}": key.ID, "/v1/webhooks/{id}": hook.ID, "/v1/files/{id}": file, "/v1/batches/{id}": batch.ID}
	bad := s.badKeys(t)
	stranger := s.newKey(t, "other", completion.Scopes...)
	look := func() string { return s.ok(t, http.MethodGet, talks+"/"+talk, "").Raw + s.path(t, talks+"/"+talk, "") }
	_, before := s.do(t, http.MethodGet, "/v1/jobs/"+ref.Job, "")
	said := look()
	for _, op := range s.operations(t) {
		t.Run(op.method+" "+op.path, func(t *testing.T) {
			if op.scope == "" {
				require.Contains(t, open, op.path, "a route that is open to all")
				return
			}
			require.True(t, op.scope.Valid(), op.scope)
			for name, header := range bad {
				resp, body := s.do(t, op.method, at(op.path, ref.Job, question), bodies[op.path], "Content-Type", "application/json", "Authorization", header)
				require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "%s: %s", name, body)
				require.Equal(t, "invalid_api_key", gjson.Get(body, "error.code").Str, name)
				require.Contains(t, resp.Header.Get("Www-Authenticate"), "Bearer")
				require.Equal(t, "false", resp.Header.Get("X-Should-Retry"))
			}
			var lesser []completion.Scope
			for _, scope := range completion.Scopes {
				if scope != op.scope {
					lesser = append(lesser, scope)
				}
			}
			resp, body := s.do(t, op.method, at(op.path, ref.Job, question), bodies[op.path], "Authorization", "Bearer "+s.newKey(t, "acme", lesser...))
			require.Equal(t, http.StatusForbidden, resp.StatusCode, body)
			require.Equal(t, "insufficient_scope", gjson.Get(body, "error.code").Str)
			for prefix, id := range ours {
				if !strings.HasPrefix(op.path, prefix) {
					continue
				}
				as := []string{"Content-Type", "application/json", "Authorization", "Bearer " + stranger}
				theirs, told := s.do(t, op.method, at(op.path, id, question), bodies[op.path], as...)
				missing, none := s.do(t, op.method, at(op.path, strings.Repeat("0", len(id)), question), bodies[op.path], as...)
				require.Equal(t, http.StatusNotFound, theirs.StatusCode, told)
				require.Equal(t, none, told, "like one that is not there")
				for _, h := range []http.Header{theirs.Header, missing.Header} {
					h.Del("X-Request-Id")
					h.Del("Date")
				}
				require.Equal(t, missing.Header, theirs.Header)
			}
		})
	}
	_, after := s.do(t, http.MethodGet, "/v1/jobs/"+ref.Job, "")
	require.JSONEq(t, before, after, "nothing of it was touched")
	require.Equal(t, said, look())
	for _, list := range []string{"/v1/jobs", "/v1/keys", "/v1/webhooks", "/v1/files", "/v1/batches", talks, talks + "?q=hi"} {
		_, body := s.do(t, http.MethodGet, list, "", "Authorization", "Bearer "+stranger)
		require.NotContains(t, body, hook.ID)
		require.NotContains(t, body, ref.Job)
		require.NotContains(t, body, key.ID)
		require.NotContains(t, body, file)
		require.NotContains(t, body, batch.ID)
		require.NotContains(t, body, talk)
	}
	_, page := s.do(t, http.MethodGet, "/v1/jobs?after="+ref.Job+"&order=asc", "", "Authorization", "Bearer "+stranger)
	require.Empty(t, gjson.Get(page, "data").Array(), "a foreign id is a cursor like any other")
}

// at is a route with ids in it.
func at(path, id, message string) string {
	return strings.NewReplacer("{id}", id, "{message}", message).Replace(path)
}

// badKeys are Authorization headers that open nothing.
func (s *server) badKeys(t *testing.T) map[string]string {
	t.Helper()
	now := time.Now()
	expired, old := completion.NewKey("acme", completion.Scopes, now)
	expired.ExpiresAt = now.Add(-time.Second)
	revoked, gone := completion.NewKey("acme", completion.Scopes, now)
	for _, k := range []completion.Key{expired, revoked} {
		require.NoError(t, s.back.Store.AddKey(t.Context(), k))
	}
	_, err := s.back.Store.RevokeKey(t.Context(), "acme", revoked.ID, now)
	require.NoError(t, err)
	return map[string]string{
		"none": "", "empty": "Bearer ", "scheme only": "Bearer", "no scheme": s.key, "basic": "Basic " + s.key, "unknown": "Bearer sk-sluice-unknown",
		"nearly": "Bearer " + s.key + "x", "cut": "Bearer " + s.key[:len(s.key)-1], "expired": "Bearer " + old, "revoked": "Bearer " + gone,
		"the hash": "Bearer " + completion.HashSecret(s.key), "long": "Bearer " + strings.Repeat("x", 8<<10), "not UTF-8": "Bearer \xff\xfe", "SQL": "Bearer ' OR 1=1 --",
	}
}

// Two tenants may use the same idempotency key.
func TestWall_I7_I8_KeyOfAnotherTenant(t *testing.T) {
	t.Parallel()
	s := setup(t)
	stranger := s.newKey(t, "other", completion.ScopeSubmit)
	_, first := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k")
	resp, second := s.do(t, http.MethodPost, "/v1/jobs", chat, "Idempotency-Key", "k", "Authorization", "Bearer "+stranger)
	require.Equal(t, http.StatusAccepted, resp.StatusCode, second)
	require.Empty(t, resp.Header.Get("Idempotent-Replayed"))
	require.NotEqual(t, gjson.Get(first, "id").Str, gjson.Get(second, "id").Str)
	require.Contains(t, gjson.Get(second, "subject").Str, "completions.other.")
}

// A key whose name or secret is in the answer appears there once, and never in a list.
func TestKeys(t *testing.T) {
	t.Parallel()
	s := setup(t)
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	resp, body := s.do(t, http.MethodPost, "/v1/keys", `{"name":"ci","scopes":["read"],"expires_at":"`+expires+`"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, resp.StatusCode, body)
	secret, id := gjson.Get(body, "secret").Str, gjson.Get(body, "id").Str
	require.True(t, strings.HasPrefix(secret, "sk-sluice-"), body)
	require.Equal(t, expires, gjson.Get(body, "expires_at").Str)
	resp, _ = s.do(t, http.MethodGet, "/v1/jobs", "", "Authorization", "Bearer "+secret)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	resp, _ = s.do(t, http.MethodPost, "/v1/jobs", chat, "Authorization", "Bearer "+secret)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)

	_, list := s.do(t, http.MethodGet, "/v1/keys", "")
	require.NotContains(t, list, secret)
	require.NotContains(t, list, completion.HashSecret(secret))
	made := gjson.Get(list, `data.#(id=="`+id+`")`)
	require.Equal(t, "ci", made.Get("name").Str)
	require.NotEmpty(t, made.Get("last_used_at").Str)

	resp, body = s.do(t, http.MethodDelete, "/v1/keys/"+id, "")
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	require.NotEmpty(t, gjson.Get(body, "revoked_at").Str)
	for name, bad := range map[string]string{"scopes[0]": `{"scopes":["root"]}`, "scopes": `{"scopes":[]}`, "expires_at": `{"expires_at":"2001-01-01T00:00:00Z"}`, "name": `{"name":"` + strings.Repeat("x", 65) + `"}`} {
		resp, body := s.do(t, http.MethodPost, "/v1/keys", bad, "Content-Type", "application/json")
		require.Equal(t, http.StatusBadRequest, resp.StatusCode, body)
		require.Equal(t, name, gjson.Get(body, "error.param").Str, body)
	}
}

// Who manages a tenant's keys cannot make one that sees other tenants, unless the key in hand does.
func TestKeys_I8_NoneMakesMore(t *testing.T) {
	t.Parallel()
	s := setup(t)
	admin := s.newKey(t, "acme", completion.ScopeAdmin, completion.ScopeSubmit, completion.ScopeRead)
	for _, scopes := range []string{`["system"]`, `["read","system"]`, `["system","admin"]`} {
		resp, body := s.do(t, http.MethodPost, "/v1/keys", `{"scopes":`+scopes+`}`, "Content-Type", "application/json", "Authorization", "Bearer "+admin)
		require.Equal(t, http.StatusForbidden, resp.StatusCode, body)
		require.Equal(t, "insufficient_scope", gjson.Get(body, "error.code").Str)
		require.Equal(t, "scopes", gjson.Get(body, "error.param").Str)
	}
	_, list := s.do(t, http.MethodGet, "/v1/keys", "")
	require.Len(t, gjson.Get(list, "data").Array(), 2, "none was made")
	resp, body := s.do(t, http.MethodPost, "/v1/keys", `{"scopes":["system"]}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, resp.StatusCode, body)
	secret := gjson.Get(body, "secret").Str
	resp, _ = s.do(t, http.MethodPost, "/v1/keys", `{"scopes":["system"]}`, "Content-Type", "application/json", "Authorization", "Bearer "+secret)
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "it needs admin still")
}

// A revocation ends the event streams that the key has opened.
func TestEvents_I8_KeyIsRevoked(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ref := s.submit(t)
	s.say(t, ref, completion.EventStarted)
	resp := s.open(t, ref.Job)
	defer resp.Body.Close()
	keys, err := s.back.Store.Keys(t.Context(), "acme")
	require.NoError(t, err)
	_, err = s.back.Store.RevokeKey(t.Context(), "acme", keys[0].ID, time.Now())
	require.NoError(t, err)
	text := make([]byte, 64<<10)
	for err == nil { // the heartbeats keep it alive until it is ended
		_, err = resp.Body.Read(text)
	}
	require.ErrorContains(t, err, "EOF")
}

// What comes with an accepted job, and what can be asked for, opens the job's stream to who has nothing else.
func TestCredential_I3_Opens(t *testing.T) {
	t.Parallel()
	s := setup(t)
	resp, body := s.do(t, http.MethodPost, "/v1/jobs", chat)
	require.Equal(t, http.StatusAccepted, resp.StatusCode)
	job := gjson.Parse(body)
	ref := completion.Ref{Tenant: "acme", Job: job.Get("id").Str}
	_, again := s.do(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/credential", "")
	require.Equal(t, ref.Subject(), gjson.Get(again, "subject").Str)
	_, all := s.do(t, http.MethodPost, "/v1/credential", "")
	require.Equal(t, "completions.acme.>", gjson.Get(all, "subject").Str)
	s.say(t, ref, completion.EventStarted, completion.EventDelta, completion.EventCompleted)
	for name, stream := range map[string]gjson.Result{"submit": job.Get("stream"), "job": gjson.Parse(again), "tenant": gjson.Parse(all)} {
		expires := stream.Get("expires_at").Time()
		require.WithinRange(t, expires, time.Now(), time.Now().Add(time.Minute), name)
		for _, address := range []string{"nats_url", "websocket_url"} {
			nc, err := nats.Connect(stream.Get(address).Str, testkit.Bearer(stream.Get("credential").Str))
			require.NoError(t, err, "%s by %s", name, address)
			var seen []completion.EventType
			for r, err := range eventlog.View(t.Context(), nc, ref, 1) {
				require.NoError(t, err)
				seen = append(seen, r.Type)
			}
			nc.Close()
			require.Equal(t, []completion.EventType{completion.EventDelta, completion.EventCompleted}, seen)
		}
	}
}
