package telemetry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// prefix begins the name of every metric of ours.
const prefix = "sluice_"

// Metric is what readers must know of one metric. Names and labels are a promise: dashboards, alerts and autoscalers of
// others are built on them.
type Metric struct {
	Name   string
	Kind   string // counter, gauge or histogram
	Labels []string
	Help   string
}

// Unit of the metric's values, as its name says it.
func (m Metric) Unit() string {
	switch {
	case strings.HasSuffix(m.Name, "_per_second"):
		return "1/s"
	case strings.HasSuffix(m.Name, "_seconds"):
		return "s"
	default:
		return ""
	}
}

// Set is the instruments of one part of a program. It is a prometheus.Collector; make all its instruments before it is
// registered. Labels are few and their values bounded: lanes, states, routes, names from the settings; never a tenant, a job, or
// anything that a client has made up.
type Set struct {
	metrics    []Metric
	collectors []prometheus.Collector
}

// note adds an instrument, and returns its full name.
func (s *Set) note(kind, name, help string, labels []string) string {
	s.metrics = append(s.metrics, Metric{Name: prefix + name, Kind: kind, Labels: labels, Help: help})
	return prefix + name
}

// Counter adds a counter. Its name, without the prefix, ends in _total.
func (s *Set) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.note("counter", name, help, labels), Help: help}, labels)
	s.collectors = append(s.collectors, c)
	return c
}

// Gauge adds a gauge.
func (s *Set) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: s.note("gauge", name, help, labels), Help: help}, labels)
	s.collectors = append(s.collectors, g)
	return g
}

// Histogram adds a histogram with these upper bounds.
func (s *Set) Histogram(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
	o := prometheus.HistogramOpts{Name: s.note("histogram", name, help, labels), Help: help, Buckets: bounds}
	h := prometheus.NewHistogramVec(o, labels)
	s.collectors = append(s.collectors, h)
	return h
}

// Emit takes one value of a metric, with its labels' values. What is not emitted is not there.
type Emit func(value float64, labels ...string)

// ReadGauge adds a gauge whose values are read at each scrape. read must not block for longer than a scrape may.
func (s *Set) ReadGauge(name, help string, labels []string, read func(Emit)) {
	s.read("gauge", prometheus.GaugeValue, name, help, labels, read)
}

// ReadCounter adds a counter that is kept elsewhere and read at each scrape.
func (s *Set) ReadCounter(name, help string, labels []string, read func(Emit)) {
	s.read("counter", prometheus.CounterValue, name, help, labels, read)
}

func (s *Set) read(kind string, value prometheus.ValueType, name, help string, labels []string, read func(Emit)) {
	d := prometheus.NewDesc(s.note(kind, name, help, labels), help, labels, nil)
	s.collectors = append(s.collectors, reader{desc: d, kind: value, read: read})
}

// reader is a metric that is read at each scrape.
type reader struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(Emit)
}

// Describe is prometheus'.
func (r reader) Describe(descs chan<- *prometheus.Desc) { descs <- r.desc }

// Collect is prometheus'.
func (r reader) Collect(metrics chan<- prometheus.Metric) {
	r.read(func(value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(r.desc, r.kind, value, labels...)
	})
}

// Describe is prometheus'.
func (s *Set) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range s.collectors {
		c.Describe(descs)
	}
}

// Collect is prometheus'.
func (s *Set) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range s.collectors {
		c.Collect(metrics)
	}
}

// Metrics describes the instruments, by name.
func (s *Set) Metrics() []Metric {
	list := slices.Clone(s.metrics)
	slices.SortFunc(list, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Reference describes metrics in Markdown, as one table.
func Reference(metrics []Metric) string {
	var b strings.Builder
	b.WriteString("| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n")
	for _, m := range metrics {
		labels := ""
		for i, l := range m.Labels {
			if i > 0 {
				labels += ", "
			}
			labels += "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Kind, labels, m.Unit(), m.Help)
	}
	return b.String()
}
