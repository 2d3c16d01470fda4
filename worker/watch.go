package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/shared/completion"
	"sluice/shared/telemetry"
	"sluice/worker/internal/meter"
)

// Metrics are a worker's own, besides those of every program.
func Metrics() []telemetry.Metric { return meter.New(nil, "", meter.View{}).Metrics() }

// Collector has the metrics of w.
func (w *Worker) Collector() prometheus.Collector { return w.meter }

// newMeter returns the metrics of a worker with these settings.
func (w *Worker) newMeter(c Config) *meter.Meter {
	var lanes []completion.Lane
	v := meter.View{Lanes: w.now}
	if c.InteractiveSlots > 0 {
		lanes = append(lanes, completion.LaneInteractive)
	}
	if c.BatchSlots > 0 {
		lanes = append(lanes, completion.LaneBatch)
		v.Limit = func() int {
			if s := w.throttle.State(); s != nil {
				return s.Limit
			}
			return c.BatchSlots
		}
	}
	return meter.New(lanes, c.UpstreamName, v)
}

// now is what the lanes have and do.
func (w *Worker) now() []meter.Lane {
	lanes := make([]meter.Lane, len(w.lanes))
	for i, l := range w.lanes {
		lanes[i] = meter.Lane{Name: l.name, Slots: l.slots, Running: l.generator.Running(), Pending: l.generator.Pending()}
	}
	return lanes
}

// ended tells those who wait for the job's end, and would otherwise have to look for it, and counts it.
func (w *Worker) ended(job *completion.Job) {
	w.tally.Add(*job)
	w.gauge.Ended(job)
	w.meter.Ended(job)
	if job.Conversation != "" {
		w.back.Bell.Turn(completion.Ref{Tenant: job.Tenant, Job: job.Conversation})
	}
}

// retried counts an attempt that another follows.
func (w *Worker) retried(job *completion.Job, counted bool) {
	w.gauge.Retried(job)
	w.meter.Retried(job, counted)
}
