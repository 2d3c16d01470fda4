package meter

import (
	"context"
	"time"

	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/telemetry"
)

// Store knows the workers and the batches.
type Store interface {
	Workers(ctx context.Context, at time.Time) ([]completion.Worker, error)
	LiveBatches(ctx context.Context) ([]completion.Batch, error)
}

// Queue knows what waits.
type Queue interface {
	Depth(ctx context.Context, lane completion.Lane) (queue.Depth, error)
	Oldest(ctx context.Context, lane completion.Lane) (time.Time, error)
}

// waiting is what Redis knows of a lane.
type waiting struct {
	depth  queue.Depth
	oldest time.Duration // since when the oldest waits
}

// stock is what the database knows of the installation.
type stock struct {
	workers int
	slots   map[completion.Lane]int
	batches map[completion.BatchState]int
	lines   int // of batches, that have not ended
}

// installation adds the gauges of all processes together.
func (m *Meter) installation(v View) {
	lanes := telemetry.NewReading(func(ctx context.Context) (map[completion.Lane]waiting, error) { return readQueue(ctx, v.Queue) })
	byLane := func(name, help string, value func(waiting) float64) {
		m.ReadGauge(name, help+" The same in every API process: take the largest.", []string{"lane"}, func(emit telemetry.Emit) {
			all, _ := lanes.Get()
			for lane, w := range all {
				emit(value(w), string(lane))
			}
		})
	}
	byLane("queue_depth", "Jobs that wait for a worker.", func(w waiting) float64 { return float64(w.depth.Pending) })
	byLane("queue_oldest_seconds", "For how long the oldest of the jobs waits that wait for a worker; 0 if none does.", func(w waiting) float64 { return w.oldest.Seconds() })
	byLane("queue_running", "Jobs that workers have taken from the queue.", func(w waiting) float64 { return float64(w.depth.Active) })
	byLane("queue_retrying", "Jobs that wait for the time of their next attempt.", func(w waiting) float64 { return float64(w.depth.Retry + w.depth.Scheduled) })

	held := telemetry.NewReading(func(ctx context.Context) (stock, error) { return readStock(ctx, v.Store) })
	fromStore := func(name, help, label string, read func(s stock, emit telemetry.Emit)) {
		var labels []string
		if label != "" {
			labels = []string{label}
		}
		m.ReadGauge(name, help+" The same in every API process: take the largest.", labels, func(emit telemetry.Emit) {
			if s, known := held.Get(); known {
				read(s, emit)
			}
		})
	}
	fromStore("workers", "Workers that are alive.", "", func(s stock, emit telemetry.Emit) { emit(float64(s.workers)) })
	fromStore("slots", "Jobs that may run at once in all workers that are alive and do not drain.", "lane", func(s stock, emit telemetry.Emit) {
		for lane, n := range s.slots {
			emit(float64(n), string(lane))
		}
	})
	fromStore("batches", "Batches that have not ended.", "state", func(s stock, emit telemetry.Emit) {
		for state, n := range s.batches {
			emit(float64(n), string(state))
		}
	})
	fromStore("batch_lines_waiting", "Lines of batches in progress that have not ended.", "", func(s stock, emit telemetry.Emit) { emit(float64(s.lines)) })
}

func readQueue(ctx context.Context, q Queue) (map[completion.Lane]waiting, error) {
	all := map[completion.Lane]waiting{}
	for _, lane := range completion.Lanes {
		depth, err := q.Depth(ctx, lane)
		if err != nil {
			return nil, err
		}
		oldest, err := q.Oldest(ctx, lane)
		if err != nil {
			return nil, err
		}
		w := waiting{depth: depth}
		if !oldest.IsZero() {
			w.oldest = max(time.Since(oldest), 0) // another machine's clock
		}
		all[lane] = w
	}
	return all, nil
}

func readStock(ctx context.Context, s Store) (stock, error) {
	got := stock{slots: map[completion.Lane]int{}, batches: map[completion.BatchState]int{}}
	for _, lane := range completion.Lanes {
		got.slots[lane] = 0
	}
	for _, state := range completion.LiveBatches {
		got.batches[state] = 0
	}
	workers, err := s.Workers(ctx, time.Now())
	if err != nil {
		return got, err
	}
	for _, w := range workers {
		if !w.Alive {
			continue
		}
		got.workers++
		if w.Status == nil || w.Status.Draining {
			continue
		}
		for _, l := range w.Status.Lanes {
			if l.Lane.Valid() {
				got.slots[l.Lane] += l.Slots
			}
		}
	}
	batches, err := s.LiveBatches(ctx)
	for _, b := range batches {
		got.batches[b.State]++
		got.lines += max(b.Counts.Total-b.Counts.Ended(), 0)
	}
	return got, err
}
