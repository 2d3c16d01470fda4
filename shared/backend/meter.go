package backend

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/shared/sweeper"
	"sluice/shared/telemetry"
)

// meter counts and reads what every program tells of the servers it stands on.
type meter struct {
	telemetry.Set
	finds *prometheus.CounterVec
}

// newMeter returns the instruments over b, which may be nil if they are only to be described.
func newMeter(b *Backend) *meter {
	m := &meter{}
	m.finds = m.Counter("sweeper_finds_total", "What the sweeper of this process mended: jobs unknown to the queue, abandoned by dead workers, expired in the queue or ended for "+
		"a dead worker; tasks revived.", "kind")
	for _, f := range sweeper.Finds {
		m.finds.WithLabelValues(string(f))
	}
	up := &parts{}
	if b != nil {
		up.checks = map[string]*telemetry.Reading[struct{}]{"database": check(b.Store.Ping), "redis": check(b.Queue.Ping), "nats": check(b.connected)}
	}
	m.ReadGauge("up", "1 if the part (database, redis, nats) answers this process within a second, or else 0.", []string{"part"}, up.emit)
	m.ReadGauge("database_connections", "Connections of this process to the database: in_use or idle.", []string{"state"}, func(emit telemetry.Emit) {
		s := b.Store.Connections()
		emit(float64(s.InUse), "in_use")
		emit(float64(s.Idle), "idle")
	})
	return m
}

func (m *meter) found(what sweeper.Find, n int) {
	m.finds.WithLabelValues(string(what)).Add(float64(n))
}

// Metrics are those of every program that has a Backend; see Backend.Collector.
func Metrics() []telemetry.Metric { return newMeter(nil).Metrics() }

// Collector has the metrics of b.
func (b *Backend) Collector() prometheus.Collector { return b.meter }

// parts are the servers, by name.
type parts struct {
	checks map[string]*telemetry.Reading[struct{}]
}

func check(ping func(context.Context) error) *telemetry.Reading[struct{}] {
	return telemetry.NewReading(func(ctx context.Context) (struct{}, error) { return struct{}{}, ping(ctx) })
}

// emit asks all of them at once.
func (p *parts) emit(emit telemetry.Emit) {
	var asking sync.WaitGroup
	for name, c := range p.checks {
		asking.Go(func() {
			up := 0.0
			if _, ok := c.Get(); ok {
				up = 1
			}
			emit(up, name)
		})
	}
	asking.Wait()
}
