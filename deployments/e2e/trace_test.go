package e2e_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"sluice/deployments/internal/process"
	"sluice/shared/completion"
	"sluice/shared/modelsim"
)

// secret stands in every prompt, and the simulated model repeats it.
const secret = "the-launch-code-is-swordfish"

func modelOf(body []byte) string { return gjson.GetBytes(body, "model").Str }

// observed is a cluster whose programs are traced.
type observed struct {
	*cluster
	*collector
	witness *witness
	api     *apiProcess
	worker  *child
}

func startTraced(t *testing.T) *observed {
	t.Helper()
	spans := startCollector(t)
	i := &observed{collector: spans}
	i.cluster = startServers(t)
	i.witness = &witness{sim: i.Sim, told: map[string]http.Header{}}
	server := httptest.NewServer(i.witness)
	t.Cleanup(server.Close)
	i.cluster.url = server.URL + "/v1"
	i.env = append(i.env, "OPENAI_BASE_URL="+i.cluster.url, "OPENAI_API_KEY=sk-upstream-credential", "SLUICE_INTERACTIVE_ATTEMPTS=3",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+spans.url, "OTEL_BSP_SCHEDULE_DELAY=100")
	i.migrate(t, "up")
	i.api = i.startAPI(t, "127.0.0.1:0")
	i.api.ready(t)
	i.worker = i.startWorker(t)
	return i
}

// newTrace is the id of a trace and what a client says of it, with the flags.
func newTrace(flags string) (id, traceparent string) {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	id = hex.EncodeToString(b)
	return id, "00-" + id + "-00f067aa0ba902b7-" + flags
}

// question is a chat completion body with the secret in it.
func question(model string, stream bool) string {
	body, _ := json.Marshal(map[string]any{ // strings only
		"model": model, "stream": stream, "messages": []any{map[string]string{"role": "user", "content": secret}},
	})
	return string(body)
}

// ask submits a job with pairs of header names and values.
func (i *observed) ask(t *testing.T, model string, header ...string) (id string) {
	t.Helper()
	accepted := i.api.do(t, http.MethodPost, "/v1/jobs", `{"request":`+question(model, false)+`}`, append(header, "Content-Type", "application/json")...)
	require.Equal(t, http.StatusAccepted, accepted.status, accepted.body)
	return gjson.Get(accepted.body, "id").Str
}

// TestTraces follows requests through the programs by the spans that a collector receives.
func TestTraces(t *testing.T) {
	t.Parallel()
	i := startTraced(t)
	quiet, unsampled := newTrace("00")
	t.Run("story", func(t *testing.T) {
		t.Run("Job", i.tracedJob)
		t.Run("Retried", i.tracedRetry)
		t.Run("Refused", i.tracedRefusal)
		t.Run("Stream", i.tracedStream)
		t.Run("Embeddings", i.tracedEmbeddings)
		t.Run("Lines", i.tracedLines)
		t.Run("Cancelled", i.tracedCancel)
		t.Run("Malformed", i.tracedMalformed)
		t.Run("NotSampled", func(t *testing.T) {
			t.Parallel()
			id := i.ask(t, "sim?key=unsampled", "Traceparent", unsampled)
			require.Equal(t, completion.Completed, i.api.finished(t, id).State)
			require.Contains(t, i.witness.header(t, "sim?key=unsampled").Get("Traceparent"), "00-"+quiet+"-")
			require.True(t, strings.HasSuffix(i.witness.header(t, "sim?key=unsampled").Get("Traceparent"), "-00"))
		})
	})
	i.worker.stop(t, syscall.SIGTERM)
	i.api.stop(t, syscall.SIGTERM)
	require.Empty(t, i.find(func(s span) bool { return hex.EncodeToString(s.TraceId) == quiet }), "all spans have been sent by now")
	require.NotEmpty(t, i.find(func(s span) bool { return s.Name == "attempt" }))
	i.saysNoSecret(t)
}

// saysNoSecret looks for content, keys and addresses in all that was sent.
func (i *observed) saysNoSecret(t *testing.T) {
	t.Helper()
	upstream, err := url.Parse(i.cluster.url)
	require.NoError(t, err)
	for _, private := range []string{secret, "swordfish", modelsim.Answer(secret), i.key, "sk-upstream-credential", upstream.Host, i.database, "INSERT", "UPDATE "} {
		require.False(t, strings.Contains(i.raw.String(), private), "%q is in a span", private) //nolint:testifylint // all spans would be shown
	}
}

func (i *observed) tracedJob(t *testing.T) {
	t.Parallel()
	trace, parent := newTrace("01")
	const model = "sim?tokens=5&key=job"
	id := i.ask(t, model, "Traceparent", parent, "Tracestate", "vendor=opaque", "X-Request-Id", "req-trace")
	spans := i.becomes(t, trace, `
POST /v1/jobs
  add job
  enqueue job
    attempt
      claim job
      chat sim?tokens=5&key=job
      finish job`)
	root := spans[0]
	require.Equal(t, "00f067aa0ba902b7", hex.EncodeToString(root.ParentSpanId))
	require.Equal(t, tracepb.Span_SPAN_KIND_SERVER, root.Kind)
	for key, want := range map[string]string{
		"http.request.method": "POST", "http.route": "/v1/jobs", "http.response.status_code": "202",
		"sluice.job.id": id, "sluice.tenant": "local", "sluice.lane": "interactive", "sluice.request_id": "req-trace",
	} {
		require.Equal(t, want, root.says(key), key)
	}
	require.Equal(t, tracepb.Span_SPAN_KIND_PRODUCER, named(spans, "enqueue job")[0].Kind)
	attempt := named(spans, "attempt")[0]
	require.Equal(t, tracepb.Span_SPAN_KIND_CONSUMER, attempt.Kind)
	require.Equal(t, []string{"sluice-api", "sluice-worker"}, []string{root.service, attempt.service})
	for key, want := range map[string]string{
		"sluice.job.id": id, "sluice.tenant": "local", "sluice.lane": "interactive", "sluice.attempt": "1", "sluice.state": "completed",
	} {
		require.Equal(t, want, attempt.says(key), key)
	}
	chat := named(spans, "chat "+model)[0]
	require.Equal(t, tracepb.Span_SPAN_KIND_CLIENT, chat.Kind)
	for key, want := range map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model, "gen_ai.response.finish_reasons": "stop",
		"gen_ai.usage.output_tokens": "5", "sluice.upstream": "default", "sluice.job.id": id, "server.address": "",
	} {
		require.Equal(t, want, chat.says(key), key)
	}
	require.NotEmpty(t, chat.says("gen_ai.response.model"))
	require.NotEmpty(t, chat.says("gen_ai.usage.input_tokens"))
	require.Len(t, chat.Events, 1)
	require.Equal(t, "first token", chat.Events[0].Name)
	require.GreaterOrEqual(t, chat.Events[0].TimeUnixNano, chat.StartTimeUnixNano)
	require.LessOrEqual(t, chat.Events[0].TimeUnixNano, chat.EndTimeUnixNano)
	told := i.witness.header(t, model)
	require.Equal(t, "00-"+trace+"-"+hex.EncodeToString(chat.SpanId)+"-01", told.Get("Traceparent"))
	require.Equal(t, "vendor=opaque", told.Get("Tracestate"))
}

func (i *observed) tracedRetry(t *testing.T) {
	t.Parallel()
	trace, parent := newTrace("01")
	i.ask(t, "sim?fail=500&times=1&key=retried", "Traceparent", parent)
	spans := i.becomes(t, trace, `
POST /v1/jobs
  add job
  enqueue job
    attempt
      claim job
      chat sim?fail=500&times=1&key=retried
      retry job
    attempt
      claim job
      chat sim?fail=500&times=1&key=retried
      finish job`)
	attempts, chats := named(spans, "attempt"), named(spans, "chat sim?fail=500&times=1&key=retried")
	for n, want := range []struct {
		attempt, state, failure, status string
		code                            tracepb.Status_StatusCode
	}{
		{"1", "queued", "upstream_error", "500", tracepb.Status_STATUS_CODE_ERROR},
		{"2", "completed", "", "", tracepb.Status_STATUS_CODE_UNSET},
	} {
		require.Equal(t, want.attempt, attempts[n].says("sluice.attempt"))
		require.Equal(t, want.state, attempts[n].says("sluice.state"))
		require.Equal(t, want.status, chats[n].says("http.response.status_code"))
		for _, s := range []span{attempts[n], chats[n]} {
			require.Equal(t, want.failure, s.says("error.type"))
			require.Equal(t, want.code, s.Status.GetCode())
			require.Equal(t, want.failure, s.Status.GetMessage())
		}
	}
	i.worker.await(t, `attempt failed, another follows.* trace_id=`+trace+` span_id=`+hex.EncodeToString(attempts[0].SpanId))
}

// tracedRefusal: what the upstream says of a request may quote it.
func (i *observed) tracedRefusal(t *testing.T) {
	t.Parallel()
	trace, parent := newTrace("01")
	i.ask(t, "sim?no_such_directive=1", "Traceparent", parent)
	spans := i.becomes(t, trace, `
POST /v1/jobs
  add job
  enqueue job
    attempt
      claim job
      chat sim?no_such_directive=1
      finish job`)
	attempt := named(spans, "attempt")[0]
	require.Equal(t, "failed", attempt.says("sluice.state"))
	require.Equal(t, "upstream_rejected", attempt.says("error.type"))
	require.Equal(t, "upstream_rejected", attempt.Status.GetMessage())
	for _, s := range spans {
		for _, e := range s.Events {
			require.Equal(t, "first token", e.Name)
		}
	}
}

func (i *observed) tracedStream(t *testing.T) {
	t.Parallel()
	trace, parent := newTrace("01")
	answer := i.api.do(t, http.MethodPost, "/v1/chat/completions", question("sim", true), "Traceparent", parent, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, answer.status, answer.body)
	require.Contains(t, answer.body, "data: [DONE]")
	spans := i.becomes(t, trace, `
POST /v1/chat/completions
  add job
  enqueue job
    attempt
      claim job
      chat sim
      finish job`)
	require.Equal(t, "200", spans[0].says("http.response.status_code"))
	require.Equal(t, "stop", named(spans, "chat sim")[0].says("gen_ai.response.finish_reasons"))
	require.GreaterOrEqual(t, spans[0].EndTimeUnixNano, named(spans, "chat sim")[0].EndTimeUnixNano, "the request lasts as long as its stream")
}

func (i *observed) tracedEmbeddings(t *testing.T) {
	t.Parallel()
	trace, parent := newTrace("01")
	body := `{"model":"sim?key=embed","input":"` + secret + `"}`
	answer := i.api.do(t, http.MethodPost, "/v1/embeddings", body, "Traceparent", parent, "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, answer.status, answer.body)
	spans := i.becomes(t, trace, `
POST /v1/embeddings
  add job
  enqueue job
    attempt
      claim job
      embeddings sim?key=embed
      finish job`)
	asked := named(spans, "embeddings sim?key=embed")[0]
	require.Equal(t, "embeddings", asked.says("gen_ai.operation.name"))
	require.NotEmpty(t, asked.says("gen_ai.usage.input_tokens"))
	require.Empty(t, asked.Events)
}

// tracedLines: each line of a batch is a trace of its own, the same for all of its attempts.
func (i *observed) tracedLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "in.jsonl")
	var lines strings.Builder
	for n := range 3 {
		fmt.Fprintf(&lines, `{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":%s}`+"\n", n,
			question(fmt.Sprintf("sim?fail=500&times=1&key=line-%d", n), false))
	}
	require.NoError(t, os.WriteFile(path, []byte(lines.String()), 0o600))
	batch := i.api.startBatch(t, path)
	var attempts []span
	until(t, "two attempts of three lines", func() bool {
		attempts = i.find(func(s span) bool { return s.Name == "attempt" && s.says("sluice.batch.id") == batch })
		return len(attempts) == 6
	})
	traces := map[string]string{}
	for _, s := range attempts {
		id := hex.EncodeToString(s.TraceId)
		require.Empty(t, s.ParentSpanId)
		require.Equal(t, "batch", s.says("sluice.lane"))
		if job, known := traces[id]; known {
			require.Equal(t, job, s.says("sluice.job.id"))
		}
		traces[id] = s.says("sluice.job.id")
	}
	require.Len(t, traces, 3)
	for id := range traces {
		model := i.becomesLine(t, id)
		require.Contains(t, i.witness.header(t, model).Get("Traceparent"), id)
	}
}

// becomesLine waits until the trace is that of a line that was tried twice, and returns its model.
func (i *observed) becomesLine(t *testing.T, trace string) (model string) {
	t.Helper()
	until(t, "the call of a line", func() bool {
		for _, s := range i.find(func(s span) bool { return hex.EncodeToString(s.TraceId) == trace }) {
			if m := s.says("gen_ai.request.model"); m != "" {
				model = m
			}
		}
		return model != ""
	})
	i.becomes(t, trace, `
attempt
  claim job
  chat `+model+`
  retry job
attempt
  claim job
  chat `+model+`
  finish job`)
	return model
}

func (i *observed) tracedCancel(t *testing.T) {
	t.Parallel()
	trace, parent := newTrace("01")
	const model = "sim?tps=5&tokens=3000&key=cancelled"
	id := i.ask(t, model, "Traceparent", parent)
	until(t, "the job to run", func() bool { return i.api.read(t, id).State == completion.Running })
	i.api.cancel(t, id)
	require.Equal(t, completion.Cancelled, i.api.finished(t, id).State)
	spans := i.becomes(t, trace, `
POST /v1/jobs
  add job
  enqueue job
    attempt
      claim job
      chat `+model+`
      finish job`)
	attempt := named(spans, "attempt")[0]
	require.Equal(t, "cancelled", attempt.says("sluice.state"))
	require.Equal(t, tracepb.Status_STATUS_CODE_UNSET, attempt.Status.GetCode())
	require.Equal(t, "cancelled", named(spans, "chat "+model)[0].says("error.type"))
}

// tracedMalformed: a header that says no trace begins none, and harms nothing.
func (i *observed) tracedMalformed(t *testing.T) {
	t.Parallel()
	for n, bad := range []string{"00-xyz", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", strings.Repeat("0", 3000)} {
		id := i.ask(t, fmt.Sprintf("sim?tokens=1&key=malformed-%d", n), "Traceparent", bad)
		var root []span
		until(t, "a trace of "+id, func() bool {
			root = i.find(func(s span) bool { return s.Name == "POST /v1/jobs" && s.says("sluice.job.id") == id })
			return len(root) == 1
		})
		require.Empty(t, root[0].ParentSpanId)
		i.becomes(t, hex.EncodeToString(root[0].TraceId), `
POST /v1/jobs
  add job
  enqueue job
    attempt
      claim job
      chat sim?tokens=1&key=malformed-`+fmt.Sprint(n)+`
      finish job`)
	}
}

// TestTracingPage_CommandsDoRun follows docs/tracing.md on another port, with a collector of ours. The all-in-one is one service,
// and both of its parts are in the same trace.
func TestTracingPage_CommandsDoRun(t *testing.T) {
	t.Parallel()
	c, i := startCollector(t), newInstallation(t)
	blocks := shellBlocks(t, "deployments/docs/tracing.md")
	require.Len(t, blocks, 2, "a new block needs its lines here")
	setting, isUp := strings.CutSuffix(strings.TrimSpace(blocks[0]), " bin/sluice up")
	require.True(t, isUp)
	server := i.up(t, strings.Replace(setting, "http://127.0.0.1:4318", c.url, 1))
	require.Equal(t, "queued", gjson.Get(shell(i.here(blocks[1])).succeed(t), "state").Str)
	server.until(t, "end the job", func() bool { return len(c.find(func(s span) bool { return s.Name == "finish job" })) == 1 })
	server.stop(t, syscall.SIGTERM)
	spans := c.becomes(t, "4bf92f3577b34da6a3ce929d0e0e4736", `
POST /v1/jobs
  add job
  enqueue job
    attempt
      claim job
      chat sim
      finish job`)
	for _, s := range spans {
		require.Equal(t, "sluice", s.service)
	}
}

// TestTraces_CollectorAway: nobody listens where the spans go. Jobs do not notice, and the log says it once.
func TestTraces_CollectorAway(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+process.FreeAddr(), "OTEL_EXPORTER_OTLP_TIMEOUT=100", "OTEL_BSP_SCHEDULE_DELAY=10")
	server := i.up(t)
	for range 3 {
		require.Equal(t, modelsim.Answer(prompt)+"\n", i.sluice("ask", prompt).succeed(t))
		server.await(t, "spans are lost, the collector does not take them")
	}
	server.stop(t, syscall.SIGTERM)
	require.Equal(t, 1, strings.Count(server.err.String(), "collector"), server.err.String())
}
