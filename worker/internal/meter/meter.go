// Package meter has a worker's metrics. It observes from the outside: an upstream and an event log that it puts itself
// around, and what the worker says of its jobs. It holds nobody up, and on the way of a delta it allocates nothing.
package meter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
	"sluice/shared/telemetry"
)

// Upper bounds of the histograms.
var (
	waits  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	firsts = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	writes = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	speeds = []float64{1, 2.5, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000}
)

// Outcomes of an attempt, besides the final states.
const (
	retried  = "retried"  // it failed, and another follows
	returned = "returned" // it was handed back without costing a try
	lost     = "lost"     // the job was another's by then, or its end could not be stored before the worker stopped
)

var (
	ends     = []completion.State{completion.Completed, completion.Failed, completion.Cancelled, completion.Expired}
	outcomes = []string{string(completion.Completed), string(completion.Failed), string(completion.Cancelled), string(completion.Expired), retried, returned, lost}
	faults   = []completion.Code{
		completion.CodeUnreachable, completion.CodeCut, completion.CodeStalled, completion.CodeRateLimited, completion.CodeQuota, completion.CodeUpstream,
		completion.CodeUpstreamRejected, completion.CodeUpstreamGarbage, completion.CodeAnswerTooLarge, completion.CodeModel,
	}
)

// Lane is what a lane has and does now.
type Lane struct {
	Name    completion.Lane
	Slots   int
	Running int
	Pending int // answers that have ended and are not stored yet
}

// View is what is read at each scrape.
type View struct {
	Lanes func() []Lane
	Limit func() int // jobs that the throttle lets run at once in the batch lane; nil: there is none
}

// Meter is the worker's metrics; see the reference for what each means.
type Meter struct {
	telemetry.Set
	upstream string

	jobs, attempts, errors, tokens            *prometheus.CounterVec
	wait, firstToken, firstDelta, speed, save *prometheus.HistogramVec
	streams                                   *prometheus.GaugeVec
	publish                                   prometheus.Observer
}

// New returns the metrics of a worker with these lanes, whose upstream has this name in the settings.
func New(lanes []completion.Lane, upstream string, v View) *Meter {
	m := &Meter{upstream: upstream}
	m.jobs = m.Counter("jobs_total", "Jobs that ended here, by their final state. One that ends while it waits is not among them.", "lane", "state")
	m.attempts = m.Counter("attempts_total", "Attempts that ended: in a final state of the job, retried, returned (handed back without costing a try: a drain, the "+
		"upstream's rate limit) or lost (the job was another's by then).", "lane", "upstream", "outcome")
	m.wait = m.Histogram("wait_seconds", "From a job's submission to its first claim.", waits, "lane")
	m.firstToken = m.Histogram("first_token_seconds", "From an attempt's call of the upstream to the first chunk of its answer.", firsts, "lane", "upstream")
	m.firstDelta = m.Histogram("first_delta_seconds", "From a job's submission to the first chunk of its last attempt; of jobs that ended.", waits, "lane")
	m.speed = m.Histogram("output_tokens_per_second", "Output tokens of a streamed answer by the time from its first chunk to its end; of completed jobs whose answer "+
		"took at least 10 ms.", speeds, "upstream")
	m.tokens = m.Counter("tokens_total", "Tokens of jobs that ended, as the upstream counted them, or estimated where it did not: input or output.", "upstream", "direction")
	m.errors = m.Counter("upstream_errors_total", "Calls of the upstream that failed, by the code of their error.", "upstream", "class")
	m.streams = m.Gauge("upstream_streams_open", "Calls of the upstream under way.", "upstream")
	m.save = m.Histogram("store_seconds", "From an answer's end until it is stored.", writes, "lane")
	m.publish = m.Histogram("publish_seconds", "Until the event log has acknowledged an event.", writes).WithLabelValues()
	m.view(v)
	m.begin(lanes)
	return m
}

// view adds what is read.
func (m *Meter) view(v View) {
	byLane := func(name, help string, value func(Lane) int) {
		m.ReadGauge(name, help, []string{"lane"}, func(emit telemetry.Emit) {
			for _, l := range v.Lanes() {
				emit(float64(value(l)), string(l.Name))
			}
		})
	}
	byLane("worker_slots", "Jobs that may run here at once.", func(l Lane) int { return l.Slots })
	byLane("worker_running", "Jobs that run here now.", func(l Lane) int { return l.Running })
	m.ReadGauge("results_pending", "Attempts that have ended here and whose end is not stored yet.", nil, func(emit telemetry.Emit) {
		n := 0
		for _, l := range v.Lanes() {
			n += l.Pending
		}
		emit(float64(n))
	})
	m.ReadGauge("throttle_limit", "Jobs of the batch lane that may run here at once, after what the upstream has refused for its rate: at most the lane's slots.", nil,
		func(emit telemetry.Emit) {
			if v.Limit != nil {
				emit(float64(v.Limit()))
			}
		})
}

// begin makes what can be counted known, with zeros: a rate cannot see the first of what was not there before.
func (m *Meter) begin(lanes []completion.Lane) {
	for _, lane := range lanes {
		for _, state := range ends {
			m.jobs.WithLabelValues(string(lane), string(state))
		}
		for _, o := range outcomes {
			m.attempts.WithLabelValues(string(lane), m.upstream, o)
		}
		for _, h := range []*prometheus.HistogramVec{m.wait, m.firstDelta, m.save} {
			h.WithLabelValues(string(lane))
		}
		m.firstToken.WithLabelValues(string(lane), m.upstream)
	}
	for _, code := range faults {
		m.errors.WithLabelValues(m.upstream, string(code))
	}
	m.streams.WithLabelValues(m.upstream)
	m.speed.WithLabelValues(m.upstream)
	for _, d := range []string{"input", "output"} {
		m.tokens.WithLabelValues(m.upstream, d)
	}
}

// Claimed observes that an attempt begins.
func (m *Meter) Claimed(job *completion.Job) {
	if job.Attempt == 1 {
		m.wait.WithLabelValues(string(job.Lane)).Observe(since(job.StartedAt, job.CreatedAt))
	}
}

// Ended observes a job's end, right after it was stored.
func (m *Meter) Ended(job *completion.Job) {
	lane := string(job.Lane)
	m.jobs.WithLabelValues(lane, string(job.State)).Inc()
	m.attempts.WithLabelValues(lane, m.upstream, string(job.State)).Inc()
	m.save.WithLabelValues(lane).Observe(since(time.Now(), job.FinishedAt))
	input, output := Tokens(job.Usage)
	m.tokens.WithLabelValues(m.upstream, "input").Add(float64(input))
	m.tokens.WithLabelValues(m.upstream, "output").Add(float64(output))
	if job.FirstTokenAt.IsZero() {
		return
	}
	m.firstDelta.WithLabelValues(lane).Observe(since(job.FirstTokenAt, job.CreatedAt))
	took := job.FinishedAt.Sub(job.FirstTokenAt)
	if job.State == completion.Completed && job.Endpoint.Streams() && took >= shortest {
		m.speed.WithLabelValues(m.upstream).Observe(float64(output) / took.Seconds())
	}
}

// shortest is how long an answer must take for its speed to mean something.
const shortest = 10 * time.Millisecond

// Retried observes an attempt that another follows; counted says that it cost a try.
func (m *Meter) Retried(job *completion.Job, counted bool) {
	outcome := returned
	if counted {
		outcome = retried
	}
	m.attempts.WithLabelValues(string(job.Lane), m.upstream, outcome).Inc()
}

// Lost observes an attempt that came to nothing.
func (m *Meter) Lost(job *completion.Job) {
	m.attempts.WithLabelValues(string(job.Lane), m.upstream, lost).Inc()
}

// since is the time from one to the other, in seconds; the clocks may be those of two machines.
func since(end, begin time.Time) float64 { return max(end.Sub(begin), 0).Seconds() }

// Tokens reads a usage object, by either of the names that OpenAI has for each number.
func Tokens(usage []byte) (input, output int64) {
	return tokens(usage, "prompt_tokens", "input_tokens"), tokens(usage, "completion_tokens", "output_tokens")
}

func tokens(usage []byte, name, other string) int64 {
	n := gjson.GetBytes(usage, name)
	if !n.Exists() {
		n = gjson.GetBytes(usage, other)
	}
	return max(n.Int(), 0)
}
