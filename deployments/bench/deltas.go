package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

const (
	// aimDelta is how much later than in a bare reader half of the deltas may be at a viewer, in milliseconds.
	aimDelta = 1
	// aimDeltaCPU is how much more CPU time than a bare reader the worker may take for a delta.
	aimDeltaCPU = 1.5
	// pacedModel sends 30 deltas per second for longer than anybody looks, and says in each when it was sent.
	pacedModel = "sim?stamp=1&first=0s&tps=30&tokens=3600"
)

// deltas measures the way of a delta from the upstream's socket to a NATS subscriber while many streams go on steadily,
// beside a program that reads and parses the same streams with the client library and does nothing else.
func deltas(ctx context.Context, s *site, r *Report) error {
	if s.lacking(r, deltaRow(s.Paced)) {
		return nil
	}
	c, err := s.install(ctx, setup{workers: []string{"SLUICE_INTERACTIVE_SLOTS=" + strconv.Itoa(s.Paced)}})
	if err != nil {
		return err
	}
	defer c.leave()
	m, err := c.meter()
	if err != nil {
		return err
	}
	d := &deltaBench{site: s, cluster: c, meter: m, profiled: s.profiler(c, "deltas")}
	for _, streams := range []int{s.Paced, max(s.Paced/5, 1)} {
		if err := d.measure(ctx, streams, r); err != nil {
			return err
		}
	}
	return nil
}

func deltaRow(streams int) string {
	return fmt.Sprintf("delta from the upstream to a NATS subscriber, %d streams × 30 per s", streams)
}

type deltaBench struct {
	*site
	*cluster
	*meter
	profiled func(context.Context, func() error) error
}

// flow is one round of a side.
type flow struct {
	ages   []time.Duration
	deltas float64
	cpu    map[string]time.Duration
}

func (d *deltaBench) measure(ctx context.Context, streams int, r *Report) error {
	d.note("deltas of %d streams, beside a bare reader", streams)
	var ours, bare []flow
	err := d.turns(ctx, d.Rounds,
		func(ctx context.Context) error {
			f, err := d.flow(ctx, streams)
			ours = append(ours, f)
			return err
		},
		func(ctx context.Context) error {
			f, err := d.bareFlow(ctx, streams)
			bare = append(bare, f)
			return err
		})
	if err != nil {
		return err
	}
	var each, their series
	for i := range ours {
		each, their = append(each, ours[i].ages), append(their, bare[i].ages)
	}
	name := deltaRow(streams)
	ourCost, theirCost := flowCost("a delta, "+strconv.Itoa(streams)+" streams", ours), flowCost("… in a bare reader", bare)
	r.Rows = append(r.Rows,
		compare(name+", p50", each, their, 0.50, aimDelta), compare(name+", p99", each, their, 0.99, 0),
		ratio("… CPU time of a delta in the worker", "µs", ourCost.of("worker"), theirCost.of(alone)).below(aimDeltaCPU),
		ratio("… deltas that arrive", "per s", d.rates(ours), d.rates(bare)))
	r.Costs = append(r.Costs, ourCost, theirCost)
	return nil
}

func flowCost(name string, flows []flow) Cost {
	var spent []map[string]time.Duration
	var n []float64
	for _, f := range flows {
		spent, n = append(spent, f.cpu), append(n, max(f.deltas, 1))
	}
	return cost(name, spent, n)
}

func (d *deltaBench) rates(flows []flow) (each []float64) {
	for _, f := range flows {
		each = append(each, f.deltas/d.Window.Seconds())
	}
	return each
}

// of is what one process took, round by round.
func (c *Cost) of(process string) (each []float64) {
	for _, round := range c.Rounds {
		each = append(each, round[process])
	}
	return each
}

// flow looks at so many streams for a window, once all go on.
func (d *deltaBench) flow(ctx context.Context, streams int) (f flow, err error) {
	ended := d.ends()
	ids, err := d.submitAll(ctx, streams, pacedModel)
	if err != nil {
		return f, err
	}
	if err := d.going(ctx, streams); err != nil {
		return f, err
	}
	if err := rest(ctx, d.Settle); err != nil {
		return f, err
	}
	f.cpu, err = d.spent(func() error {
		return d.profiled(ctx, func() error {
			d.reset()
			return rest(ctx, d.Window)
		})
	})
	if err != nil {
		return f, err
	}
	ages, n := d.measured()
	f.ages, f.deltas = ages, float64(n)
	if err := d.cancelAll(ctx, ids); err != nil {
		return f, err
	}
	return f, d.meter.await(ctx, ended+streams)
}

// going waits until the simulated model gives so many answers at once.
func (c *cluster) going(ctx context.Context, streams int) error {
	ctx, stop := limited(ctx)
	defer stop()
	for {
		n, err := c.generating(ctx)
		if err != nil || n >= streams {
			return err
		}
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// bareFlow is flow in a bare reader.
func (d *deltaBench) bareFlow(ctx context.Context, streams int) (f flow, err error) {
	figures, model, err := d.bare(ctx, d.site, pacedModel, streams, nil)
	f.ages, f.deltas = figures.Ages, float64(figures.Deltas)
	f.cpu = map[string]time.Duration{alone: figures.CPU, "model": model}
	return f, err
}

// bareFigures are what the program bare prints.
type bareFigures struct {
	Deltas int             `json:"deltas"`
	CPU    time.Duration   `json:"cpu_ns"`
	Ages   []time.Duration `json:"ages_ns"`
}

// bare runs the bare reader to its end, and says what it prints and what the model spent meanwhile. running, if it is not
// nil, is called once all streams go on.
func (c *cluster) bare(ctx context.Context, s *site, model string, streams int, running func(*child) error) (f bareFigures, took time.Duration, err error) {
	p, err := start(s.program("bare"), nil, c.model.url, model, strconv.Itoa(streams), s.Settle.String(), s.Window.String())
	if err != nil {
		return f, 0, err
	}
	defer p.Stop()
	if _, err := p.Find(ctx, "bare running\n"); err != nil {
		return f, 0, err
	}
	if running != nil {
		if err := running(p); err != nil {
			return f, 0, err
		}
	}
	used, err := c.spent(func() error {
		line, err := p.Find(ctx, `(?m)^(\{.*\})\n`)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(line[1]), &f)
	})
	return f, used["model"], err
}
