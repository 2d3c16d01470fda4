package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tidwall/gjson"
)

// aimAdded is how much later than with a direct call half of the submitters may see the first text, in milliseconds.
const aimAdded = 5

// polled is the load of the side that polls: its figure is so coarse that a few samples suffice.
var polled = pace{requests: 20, rate: 10}

// firstDelta measures submit → first delta with text: POST /v1/jobs is about to be sent, until the text is in a
// viewer's hands. The baseline is the same upstream asked directly, streamed, on kept connections.
func firstDelta(ctx context.Context, s *site, r *Report) error {
	p, err := openProduct(ctx, s)
	if err != nil {
		return err
	}
	defer p.close()
	watched, err := watch(p)
	if err != nil {
		return err
	}
	asynq, err := openPolling(p.model)
	if err != nil {
		return err
	}
	defer asynq.close()

	full, few := pace{s.Requests, s.Rate}, pace{min(polled.requests, s.Requests), polled.rate}
	s.note("submit to first delta, beside a direct call")
	all, err := alternate(ctx, s, []side{
		{name: "direct", pace: full, sample: p.model.first},
		{name: "nats", pace: full, sample: watched.sample},
		{name: "late", pace: full, sample: p.viewed},
		{name: "sse", pace: full, sample: p.streamed},
		{name: "chat", pace: full, sample: p.chat.first},
		{name: "polling", pace: few, sample: asynq.sample},
	})
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name, side string
		aim        float64
	}{
		{"submit to first delta, NATS subscriber", "nats", aimAdded},
		{"… that subscribes when it has the answer", "late", 0},
		{"… over server-sent events", "sse", 0},
		{"… through /v1/chat/completions", "chat", 0},
		{"the same queue with Asynq's own polling", "polling", 0},
	} {
		r.Rows = append(r.Rows, compare(c.name+", p50", all[c.side], all["direct"], 0.50, c.aim), compare(c.name+", p99", all[c.side], all["direct"], 0.99, 0))
	}
	stages, err := watched.stages(ctx)
	r.Stages = append(r.Stages, stages...)
	return err
}

// modelName is the upstream's model that answers without any pause.
const modelName = "sim-instant"

// request is the chat completion body of every job and every direct call.
const request = `{"model":"` + modelName + `","stream":true,"messages":[{"role":"user","content":"hello"}]}`

// speaks reports whether a chunk has text; the first chunk of a stream has a role only.
func speaks(chunk json.RawMessage) bool {
	return gjson.GetBytes(chunk, "choices.0.delta.content").Str != ""
}

// errSilent is what a sample ends with whose answer had no text.
var errSilent = fmt.Errorf("the answer of %s has no text", modelName)
