package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/deployments/internal/process"
	"sluice/shared/modelsim"
)

// gossip is an upstream that quotes what it was asked wherever it can: in refusals, in errors within a stream, and in what is
// no JSON. Other models are simulated.
func gossip(t *testing.T) (url string) {
	t.Helper()
	sim := modelsim.New(modelsim.Config{TokensPerSecond: 1000})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // what is missing is not quoted
		said := gjson.GetBytes(body, "messages.0.content").Str
		switch gjson.GetBytes(body, "model").Str {
		case "refuses":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":{"message":"no: %s","type":"invalid_request_error","param":"messages","code":"bad"}}`, said)
		case "fails":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"error":{"message":"oops: %s"}}`, said)
		case "blabs":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\ndata: {%s\n\n", said)
		case "breaks":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"error\":{\"message\":\"broke: %s\",\"type\":\"server_error\"}}\n\n", said)
		default:
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			sim.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return server.URL + "/v1"
}

// TestLogs_HoldNoContentAndNoKeys: at the most talkative level each line is one JSON object, those about jobs say which and
// whose, and none has what was asked, what was answered, or what opens anything.
func TestLogs_HoldNoContentAndNoKeys(t *testing.T) {
	t.Parallel()
	const asked, upstreamKey = "heliotrope giraffes whisper", "upstream-key-4711-secret"
	i := newInstallation(t, "SLUICE_LOG_FORMAT=json", "SLUICE_LOG_LEVEL=debug", "OPENAI_API_KEY="+upstreamKey, "OPENAI_BASE_URL="+gossip(t),
		"SLUICE_INTERACTIVE_ATTEMPTS=2", "SLUICE_WEBHOOK_PRIVATE=allow", "SLUICE_UNKNOWN_MODELS=pass")
	p := i.up(t)
	a := i.api(t)
	hook := a.do(t, http.MethodPost, "/v1/webhooks", `{"url":"http://user-part:pass-part@`+process.FreeAddr()+`/path-part?token=query-part","events":["job.*"]}`, "Content-Type", "application/json")
	if hook.status != http.StatusCreated { // an address with a password may be refused
		hook = a.do(t, http.MethodPost, "/v1/webhooks", `{"url":"http://`+process.FreeAddr()+`/path-part?token=query-part","events":["job.*"]}`, "Content-Type", "application/json")
	}
	require.Equal(t, http.StatusCreated, hook.status, hook.body)
	secret := []string{
		asked, "giraffes", modelsim.Answer(asked)[:12], upstreamKey, a.key, "idem-key-part", "label-part", "wrong-key-part", "path-part", "query-part", "pass-part",
		gjson.Get(hook.body, "secret").Str,
	}
	var ids []string
	for _, model := range []string{"sim", "refuses", "fails", "blabs", "breaks", "sim?fail=500&times=1&key=k", "sim?cut=3&key=c"} {
		made := a.do(t, http.MethodPost, "/v1/jobs", fmt.Sprintf(`{"metadata":{"k":"label-part"},"request":{"model":%q,"messages":[{"role":"user","content":%q}]}}`, model, asked),
			"Content-Type", "application/json", "Idempotency-Key", "idem-key-part-"+model)
		require.Equal(t, http.StatusAccepted, made.status, made.body)
		secret = append(secret, gjson.Get(made.body, "stream.credential").Str)
		ids = append(ids, gjson.Get(made.body, "id").Str)
	}
	for _, id := range ids {
		a.finished(t, id)
	}
	slow := a.do(t, http.MethodPost, "/v1/jobs", fmt.Sprintf(`{"request":{"model":"sim?tps=1&tokens=1000","messages":[{"role":"user","content":%q}]}}`, asked), "Content-Type", "application/json")
	id := gjson.Get(slow.body, "id").Str
	until(t, "the job to run", func() bool { return gjson.Get(a.get(t, "/v1/jobs/"+id).body, "state").Str == "running" })
	require.Equal(t, http.StatusOK, a.do(t, http.MethodPost, "/v1/jobs/"+id+"/cancel", "").status)
	a.finished(t, id)
	chat := fmt.Sprintf(`{"model":"sim","stream":true,"messages":[{"role":"user","content":%q}]}`, asked)
	require.Equal(t, http.StatusOK, a.do(t, http.MethodPost, "/v1/chat/completions", chat, "Content-Type", "application/json").status)
	require.Equal(t, http.StatusUnauthorized, a.do(t, http.MethodPost, "/v1/chat/completions", chat, "Content-Type", "application/json", "Authorization", "Bearer sk_wrong-key-part").status)
	require.Equal(t, http.StatusBadRequest, a.do(t, http.MethodPost, "/v1/jobs", `{"request":{"model":3,"messages":"`+asked+`"}}`, "Content-Type", "application/json").status)
	a.get(t, "/v1/jobs?token=query-part")

	p.await(t, "delivery sent")
	p.signal(t, syscall.SIGTERM)
	require.Zero(t, p.code(t))
	text := p.err.String()
	lines, aboutJobs := 0, map[string]bool{}
	for line := range strings.Lines(text) {
		var l struct {
			Time, Level, Msg string
			JobID            string `json:"job_id"`
			Tenant           string
		}
		require.NoError(t, json.Unmarshal([]byte(line), &l), line)
		require.NotEmpty(t, l.Time, line)
		require.NotEmpty(t, l.Level, line)
		require.NotEmpty(t, l.Msg, line)
		if l.JobID != "" {
			require.Equal(t, "local", l.Tenant, line)
			aboutJobs[l.JobID] = true
		}
		for _, s := range secret {
			require.NotEmpty(t, s)
			require.NotContains(t, line, s)
		}
		lines++
	}
	require.Greater(t, lines, 30)
	for _, id := range append(ids, id) {
		require.True(t, aboutJobs[id], "%s is told of", id)
	}
}
