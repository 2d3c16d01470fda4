package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/sse"
	"sluice/shared/completion"
)

type eventsInput struct {
	ID     string `path:"id" doc:"The job's id."`
	After  string `query:"after" doc:"Only events with a higher seq; wins over Last-Event-ID."`
	LastID string `header:"Last-Event-ID" doc:"What an EventSource sends when it reconnects: the seq of the last event it saw."`
}

// after is the seq to resume after.
func (in *eventsInput) after() (int64, error) {
	for _, given := range []struct{ name, value string }{{"after", in.After}, {"Last-Event-ID", in.LastID}} {
		if given.value == "" {
			continue
		}
		seq, err := strconv.ParseInt(given.value, 10, 64)
		if err != nil || seq < 0 || seq > completion.MaxSeq {
			return 0, completion.Invalid(given.name, "The value of %s must be the seq of an event: a whole number from 0.", given.name)
		}
		return seq, nil
	}
	return 0, nil
}

func (f *Face) registerEvents(api huma.API) {
	op := huma.Operation{
		OperationID: "follow-job", Method: http.MethodGet, Path: "/v1/jobs/{id}/events", Tags: tags, Errors: []int{400, 401, 403, 404, 429, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Follow a job", Description: "The job's events as server-sent events, from the start or from where the client left off, to the " +
			"final one, after which the stream ends. The SSE id is the event's seq. Comments keep an idle stream alive. A server that stops ends " +
			"the stream with a reconnect event. 204 if the client has seen the final event already.",
	}
	huma.Register(api, op, f.events)
	response := api.OpenAPI().Paths[op.Path].Get.Responses["200"]
	if response == nil {
		response = &huma.Response{}
		api.OpenAPI().Paths[op.Path].Get.Responses["200"] = response
	}
	response.Description = "The event stream"
	response.Content = map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}}
}

func (f *Face) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	after, err := in.after()
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	caller := access.Of(ctx)
	place, err := f.Limits.Stream(ctx, caller.Tenant)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer place.Close()
		r, w := humago.Unwrap(c)
		ctx, cancel := context.WithCancelCause(r.Context())
		var watching sync.WaitGroup
		watching.Go(func() { attend.Watch(ctx, f.Guard, caller, place, cancel) })
		f.follow(ctx, w, job, after)
		cancel(nil)
		watching.Wait() // it renews the place that is given up now
	}}, nil
}

// follow writes records until the final one, the client's end or the server's.
func (f *Face) follow(ctx context.Context, w http.ResponseWriter, job completion.Job, after int64) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer context.AfterFunc(f.opts.Stopping, func() { cancel(context.Cause(f.opts.Stopping)) })()
	stream := sse.New(w, f.opts.Heartbeat, f.opts.Write)
	var beat sync.WaitGroup
	beat.Go(func() { stream.Beat(ctx, cancel) })
	last, err := f.send(ctx, stream, job, after)
	if err != nil {
		f.hangUp(ctx, stream, job.ID, last, err)
	}
	cancel(nil)
	beat.Wait()
	stream.End()
}

// send writes records until the final one and returns the last seq that was written.
func (f *Face) send(ctx context.Context, stream *sse.Stream, job completion.Job, after int64) (last int64, err error) {
	if !job.State.Final() {
		if err := stream.Open(); err != nil {
			return after, err
		}
	}
	last = after
	for record, err := range f.Log.Follow(ctx, job.Ref(), after) {
		if err == nil {
			err = stream.Send(strconv.FormatInt(record.Seq, 10), string(record.Type), record.Data)
		}
		if err != nil {
			return last, err
		}
		last = record.Seq
	}
	return last, nil
}

// hangUp ends a stream that is not at its end.
func (f *Face) hangUp(ctx context.Context, stream *sse.Stream, id string, last int64, err error) {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, sse.ErrStopping):
		_ = stream.Send("", "reconnect", fmt.Appendf(nil, `{"after":%d}`, last)) // it may be gone as well
	case cause == nil:
		f.Logger.Error("event stream broke", "job_id", id, "error", err)
	default:
		f.Logger.Debug("viewer left", "job_id", id, "last", last, "error", err)
	}
}
