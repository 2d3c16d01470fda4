package main

import "context"

const (
	// aimFirst is how much later than with a direct call half of the submitters may see the first text on separate programs,
	// in milliseconds, and aimFirstLate the hundredth.
	aimFirst     = 3
	aimFirstLate = 15
)

// separate measures submit to first delta as firstDelta does, on separate programs.
func separate(ctx context.Context, s *site, r *Report) error {
	const name = "separate programs: submit to first delta, NATS subscriber"
	if s.lacking(r, name) {
		return nil
	}
	c, err := s.install(ctx, setup{})
	if err != nil {
		return err
	}
	defer c.leave()
	watched, err := watch(&c.product)
	if err != nil {
		return err
	}
	full := pace{s.Requests, s.Rate}
	s.note("submit to first delta on separate programs, beside a direct call")
	all, err := alternate(ctx, s, []side{
		{name: "direct", pace: full, sample: c.model.first},
		{name: "nats", pace: full, sample: watched.sample},
		{name: "chat", pace: full, sample: c.chat.first},
	})
	if err != nil {
		return err
	}
	for _, side := range []struct{ name, side string }{{name, "nats"}, {"… through /v1/chat/completions", "chat"}} {
		r.Rows = append(r.Rows,
			compare(side.name+", p50", all[side.side], all["direct"], 0.50, aimFirst),
			compare(side.name+", p99", all[side.side], all["direct"], 0.99, aimFirstLate))
	}
	stages, err := watched.stages(ctx)
	for _, stage := range stages {
		stage.Name = "separate programs: " + stage.Name
		r.Stages = append(r.Stages, stage)
	}
	return err
}
