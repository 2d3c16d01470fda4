package generate

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tidwall/gjson"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"sluice/shared/completion"
	"sluice/shared/telemetry"
)

// claimed says on the delivery's span that it is an attempt.
func claimed(ctx context.Context, job *completion.Job) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetName("attempt")
	span.SetAttributes(telemetry.Attempt.Int(job.Attempt))
	if job.Batch != "" {
		span.SetAttributes(telemetry.Batch.String(job.Batch))
	}
}

// became says on the attempt's span what the job is after it.
func became(ctx context.Context, state completion.State, failure *completion.Error, failed bool) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(telemetry.State.String(string(state)))
	switch {
	case failure == nil:
	case failed:
		telemetry.Fail(span, failure)
	default:
		telemetry.Spoil(span, failure.Code)
	}
}

// spanned runs a write to the store within a span.
func spanned(ctx context.Context, act string, write func(context.Context) error) error {
	ctx, span := telemetry.Start(ctx, act)
	err := write(ctx)
	telemetry.End(span, err)
	return err
}

// Names of OpenTelemetry's conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai). The upstream's
// address, which they would have too, is nobody's business; the provider they ask for is the protocol, which is all we know.
const (
	operation    = attribute.Key("gen_ai.operation.name")
	provider     = attribute.Key("gen_ai.provider.name")
	asked        = attribute.Key("gen_ai.request.model")
	answering    = attribute.Key("gen_ai.response.model")
	reasons      = attribute.Key("gen_ai.response.finish_reasons")
	inputTokens  = attribute.Key("gen_ai.usage.input_tokens")
	outputTokens = attribute.Key("gen_ai.usage.output_tokens")
	status       = attribute.Key("http.response.status_code")
)

var operations = map[completion.Endpoint]string{
	completion.EndpointChat: "chat", completion.EndpointResponses: "chat",
	completion.EndpointCompletions: "text_completion", completion.EndpointEmbeddings: "embeddings",
}

// asking begins the span of the upstream's call; done ends it with what came of it. Deltas cost nothing here: what is said of
// the answer is read when it is over.
func (g *Generator) asking(ctx context.Context, job *completion.Job, s *speech) (_ context.Context, done func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	name := operations[job.Endpoint]
	ctx, span := telemetry.Start(ctx, name+" "+job.Model, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		operation.String(name), provider.String("openai"), asked.String(job.Model), telemetry.Upstream.String(g.upstream.Name()),
		telemetry.Job.String(job.ID), telemetry.Attempt.Int(job.Attempt)))
	return ctx, func(err error) {
		s.describe(span)
		var failure *completion.Error
		switch {
		case err == nil:
		case errors.As(err, &failure):
			telemetry.Fail(span, failure)
			if failure.UpstreamStatus != 0 {
				span.SetAttributes(status.Int(failure.UpstreamStatus))
			}
		default:
			telemetry.Spoil(span, cut(err))
		}
		span.End()
	}
}

// cut is the code of what ended a call from our side.
func cut(err error) completion.Code {
	switch {
	case errors.Is(err, errCancelled):
		return completion.CodeCancelled
	case errors.Is(err, errExpired):
		return completion.CodeExpired
	case errors.Is(err, errTooLong):
		return completion.CodeTimeout
	case errors.Is(err, completion.ErrStale), errors.Is(err, completion.ErrFinal):
		return completion.CodeLost
	default:
		return completion.CodeDraining
	}
}

// describe says on the call's span what the answer is, but for its content.
func (s *speech) describe(span trace.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	model, usage := s.answer.Model(), s.answer.Usage()
	switch {
	case len(s.whole) > 0:
		model, usage = gjson.GetBytes(s.whole, "model").Str, json.RawMessage(gjson.GetBytes(s.whole, "usage").Raw)
	case !s.first.IsZero():
		span.AddEvent("first token", trace.WithTimestamp(s.first))
	}
	if model != "" {
		span.SetAttributes(answering.String(model))
	}
	if reason := s.answer.FinishReason(); reason != "" {
		span.SetAttributes(reasons.StringSlice([]string{reason}))
	}
	for key, names := range map[attribute.Key][]string{
		inputTokens: {"prompt_tokens", "input_tokens"}, outputTokens: {"completion_tokens", "output_tokens"},
	} {
		for _, n := range gjson.GetManyBytes(usage, names...) {
			if n.Exists() {
				span.SetAttributes(key.Int64(n.Int()))
			}
		}
	}
}
