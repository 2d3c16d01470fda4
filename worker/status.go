package worker

import (
	"sluice/shared/completion"
	"sluice/shared/telemetry"
)

// status is what the heartbeat tells of this worker.
func (w *Worker) status() *completion.WorkerStatus {
	s := &completion.WorkerStatus{
		Host: host(), Version: telemetry.Version, StartedAt: w.startedAt.UTC(), Draining: w.draining.Load(), Upstreams: w.gauge.Upstreams(),
	}
	for _, l := range w.lanes {
		lane := completion.LaneStatus{Lane: l.name, Slots: l.slots, Running: l.generator.Running()}
		if l.name == completion.LaneBatch {
			lane.Throttle = w.throttle.State()
		}
		w.gauge.Lane(&lane)
		s.Lanes = append(s.Lanes, lane)
	}
	return s
}

// drain is what a worker does first that is told to stop.
func (w *Worker) drain() {
	w.draining.Store(true)
	w.throttle.Close()
}
