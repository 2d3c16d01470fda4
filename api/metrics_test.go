package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/testkit"
)

// values are the metrics of c by name and labels; a histogram's is how often it was observed.
func values(t *testing.T, c ...prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c...)
	families, err := r.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			all[strings.TrimPrefix(f.GetName(), "sluice_")+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// shows waits until the metrics are these.
func (s *server) shows(t *testing.T, want map[string]float64) {
	t.Helper()
	seen := map[string]float64{}
	require.Eventually(t, func() bool {
		all, same := values(t, s.metrics, s.back.Collector()), true
		for name, value := range want {
			seen[name] = all[name]
			same = same && seen[name] == value
		}
		return same
	}, 30*time.Second, 20*time.Millisecond, "last seen: %v", seen)
}

// What the process does is counted, and the installation is seen whole.
func TestMetrics(t *testing.T) {
	t.Parallel()
	back, n := testkit.RealBackend(t)
	s := setupOn(t, back, n, delivering)
	faults, err := testutil.CollectAndLint(s.metrics)
	require.NoError(t, err)
	require.Empty(t, faults)
	url, got := receiver(t, http.StatusOK)
	s.register(t, `{"url":"`+url+`","events":["job.*"]}`)
	for name, worker := range map[string]bool{"w1": false, "w2": false, "w3": true} { // draining
		said := status(1)
		said.Draining = worker
		require.NoError(t, back.Store.Beat(t.Context(), name, said, time.Now()))
	}
	require.NoError(t, back.Store.Beat(t.Context(), "dead", status(3), time.Now().Add(-time.Minute)))
	ref := s.submit(t)
	s.submit(t)
	s.submit(t)
	file := s.upload(t, "batch", "in.jsonl", `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"hi"}]}}`)
	resp, body := s.do(t, http.MethodPost, "/v1/batches", `{"input_file_id":"`+file.ID+`","endpoint":"/v1/chat/completions","completion_window":"1h"}`)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	for range 2 {
		resp, _ = s.do(t, http.MethodGet, "/v1/jobs/job_none", "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
	}
	resp, _ = s.do(t, http.MethodGet, "/no/such/route", "")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	resp, _ = s.do(t, "BREW", "/v1/jobs", "")
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	stream := s.open(t, ref.Job)
	defer stream.Body.Close()
	s.shows(t, map[string]float64{
		"jobs_accepted_total{/v1/chat/completions,interactive}": 3, "jobs_accepted_total{/v1/chat/completions,batch}": 1, "jobs_accepted_total{/v1/embeddings,batch}": 0,
		"http_requests_total{202,POST,/v1/jobs}": 3, "http_requests_total{404,GET,/v1/jobs/{id}}": 2, "http_requests_total{404,GET,none}": 1, "http_requests_total{405,other,none}": 1,
		"http_request_seconds{POST,/v1/jobs}": 3, "http_request_seconds{GET,/v1/jobs/{id}/events}": 1, "http_requests_total{200,GET,/v1/jobs/{id}/events}": 0,
		"streams_open{sse}": 1, "streams_open{chat}": 0,
		"queue_depth{interactive}": 3, "queue_depth{batch}": 1, "queue_running{interactive}": 0, "queue_retrying{batch}": 0,
		"workers{}": 3, "slots{interactive}": 8, "slots{batch}": 0, "batches{in_progress}": 1, "batches{validating}": 0, "batch_lines_waiting{}": 1,
		"up{database}": 1, "up{redis}": 1, "up{nats}": 1,
	})
	require.Positive(t, values(t, s.metrics)["queue_oldest_seconds{interactive}"])

	s.replayed(t, ref)
	s.call(t, http.MethodPost, "/v1/jobs/"+ref.Job+"/cancel", "", http.StatusOK)
	<-got
	s.replayed(t, completion.Ref{Tenant: ref.Tenant, Job: s.lostEnd(t)})
	s.do(t, http.MethodDelete, "/v1/files/"+file.ID, "")
	s.shows(t, map[string]float64{
		"streams_open{sse}": 0, "http_requests_total{200,GET,/v1/jobs/{id}/events}": 1, "replays_total{log}": 1, "replays_total{database}": 1,
		"webhook_deliveries_total{delivered}": 2, "webhook_deliveries_total{failed}": 0, "queue_depth{interactive}": 3,
	})
}

// replayed asks for a replay, as a viewer does.
func (s *server) replayed(t *testing.T, ref completion.Ref) {
	t.Helper()
	nc, err := s.nats.Connect()
	require.NoError(t, err)
	defer nc.Close()
	inbox := "rp." + ref.Tenant + "." + ref.Job + ".x"
	sub, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: "replay." + ref.Tenant + "." + ref.Job, Reply: inbox, Data: []byte(`{"from":1}`)}))
	answer, err := sub.NextMsg(time.Minute)
	require.NoError(t, err)
	require.True(t, gjson.GetBytes(answer.Data, "events").Exists(), "%s", answer.Data)
}

// lostEnd is a job that has ended, of which the log knows nothing.
func (s *server) lostEnd(t *testing.T) (id string) {
	t.Helper()
	ref := s.submit(t)
	_, _, err := s.back.Store.Cancel(t.Context(), ref, time.Now())
	require.NoError(t, err)
	return ref.Job
}

// A dead Redis is told of, nothing old is, and no scrape hangs.
func TestMetrics_RedisIsAway(t *testing.T) {
	t.Parallel()
	s, redisServer := setupMortal(t)
	s.shows(t, map[string]float64{"up{database}": 1, "up{redis}": 1, "up{nats}": 1, "queue_depth{interactive}": 0, "workers{}": 0})
	require.Contains(t, values(t, s.metrics), "queue_depth{interactive}")
	redisServer.Kill(t)
	s.shows(t, map[string]float64{"up{database}": 1, "up{redis}": 0, "up{nats}": 1})
	seen := values(t, s.metrics)
	require.NotContains(t, seen, "queue_depth{interactive}")
	require.NotContains(t, seen, "queue_oldest_seconds{batch}")
	require.Contains(t, seen, "workers{}", "the database is there")
	redisServer.Start(t)
	s.shows(t, map[string]float64{"up{redis}": 1})
}

// What is for those who run the installation is not on the public port.
func TestMetrics_NotPublic(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/buildinfo", "/livez"} {
		resp, body := s.do(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusNotFound, resp.StatusCode, body)
	}
}
