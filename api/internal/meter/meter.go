// Package meter has the metrics of an API process: what it does itself, and gauges of the whole installation, which every API
// process shows alike, read at a scrape within a time limit. A server that does not answer leaves its gauges out.
package meter

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/shared/completion"
	"sluice/shared/store"
	"sluice/shared/telemetry"
)

// begins are the upper bounds of times until an answer begins.
var begins = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// Outcomes of attempts to deliver a webhook.
const (
	delivered = "delivered"
	failed    = "failed"  // for good
	retried   = "retried" // another attempt follows
)

// Kinds of what is pruned and of event streams, and the outcomes of a batch's lines.
const (
	Files = "files" // row and content

	sse         = "sse"
	chat        = "chat"
	completions = "completions"
	responses   = "responses"

	lineCompleted = "completed"
	lineFailed    = "failed"
)

// View is what is read at each scrape.
type View struct {
	Replays func() (log, database int64)
	Store   Store
	Queue   Queue
}

// Meter is the process' metrics; see the reference for what each means.
type Meter struct {
	telemetry.Set
	accepted, requests, lines, deliveries, pruned *prometheus.CounterVec
	seconds                                       *prometheus.HistogramVec
	streams                                       *prometheus.GaugeVec
}

// New returns the metrics.
func New(v View) *Meter {
	m := &Meter{}
	m.accepted = m.Counter("jobs_accepted_total", "Jobs that this process took in, lines of batches too.", "lane", "endpoint")
	m.requests = m.Counter("http_requests_total", "HTTP requests that have ended. route: as in the API reference, or none where there is no such route.", "route", "method", "code")
	m.seconds = m.Histogram("http_request_seconds", "Until the answer of an HTTP request began, which for an event stream is before its events.", begins, "route", "method")
	m.streams = m.Gauge("streams_open", "Event streams that are open: chat, completions or responses of an OpenAI endpoint, or sse for all others.", "kind")
	m.lines = m.Counter("batch_lines_total", "Lines of batches that have ended, as the process that looks after the batch has stored it: completed or failed, which "+
		"cancelled and expired ones are too.", "outcome")
	m.deliveries = m.Counter("webhook_deliveries_total", "Attempts to deliver webhooks: delivered, retried (another follows) or failed (none follows).", "outcome")
	m.pruned = m.Counter("pruned_total", "Rows that this process deleted because their time was over, by kind: jobs, stored, batches, lines, messages, conversations, deliveries, quota_days, "+
		"workers; and files whose content went, which were deleted or have expired.", "kind")
	m.ReadCounter("replays_total", "Replays answered to viewers, by where their end came from: the event log, or the database where the log has lost it.", []string{"source"},
		func(emit telemetry.Emit) {
			log, database := v.Replays()
			emit(float64(log), "log")
			emit(float64(database), "database")
		})
	m.installation(v)
	m.begin()
	return m
}

// begin makes what can be counted known, with zeros: a rate cannot see the first of what was not there before.
func (m *Meter) begin() {
	for _, lane := range completion.Lanes {
		for _, e := range completion.Endpoints {
			m.accepted.WithLabelValues(string(lane), string(e))
		}
	}
	for _, k := range []string{sse, chat, completions, responses} {
		m.streams.WithLabelValues(k)
	}
	for _, o := range []string{lineCompleted, lineFailed} {
		m.lines.WithLabelValues(o)
	}
	for _, o := range []string{delivered, failed, retried} {
		m.deliveries.WithLabelValues(o)
	}
	for _, k := range kinds {
		m.pruned.WithLabelValues(string(k))
	}
}

// kinds are all that is pruned.
var kinds = []store.Kind{
	store.KindJobs, store.KindStored, store.KindBatches, store.KindLines, store.KindMessages, store.KindConversations, store.KindFiles, store.KindDeliveries,
	store.KindQuotaDays, store.KindWorkers,
}

// Accepted observes n jobs that were taken in.
func (m *Meter) Accepted(lane completion.Lane, e completion.Endpoint, n int) {
	m.accepted.WithLabelValues(string(lane), string(e)).Add(float64(n))
}

// Pruned observes that n things of a kind were removed.
func (m *Meter) Pruned(kind string, n int) { m.pruned.WithLabelValues(kind).Add(float64(n)) }

// Delivered observes an attempt to deliver a webhook.
func (m *Meter) Delivered(d completion.Delivery) {
	outcome := retried
	switch d.State {
	case completion.DeliveryDelivered:
		outcome = delivered
	case completion.DeliveryFailed:
		outcome = failed
	}
	m.deliveries.WithLabelValues(outcome).Inc()
}

// Lines observes that a batch has come from one count of its lines to another.
func (m *Meter) Lines(from, to completion.Counts) {
	m.lines.WithLabelValues(lineCompleted).Add(float64(max(to.Completed-from.Completed, 0)))
	m.lines.WithLabelValues(lineFailed).Add(float64(max(to.Failed-from.Failed, 0)))
}

// kind of the event stream at a path of the routes.
func kind(route string) string {
	switch {
	case route == string(completion.EndpointChat):
		return chat
	case route == string(completion.EndpointCompletions):
		return completions
	case strings.HasPrefix(route, string(completion.EndpointResponses)):
		return responses
	default:
		return sse
	}
}
