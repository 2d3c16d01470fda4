// Package follow serves the events of a job or a batch as server-sent events, from the start or from where the client left
// off, to the final one; and the changes of a conversation, for as long as it is there.
//
// It promises that whatever ends such a stream early (the client leaves or does not read, its key is revoked, the server
// stops) is noticed, and that a client can resume after the last event that it got. Who may follow what is left to the faces.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/sse"
	"sluice/shared/completion"
	"sluice/shared/limit"
)

// Limits hold tenants to what they may do.
type Limits interface {
	Stream(ctx context.Context, tenant string) (*limit.Stream, error)
}

// Bell tells of changes.
type Bell interface {
	OnChanged(conversation completion.Ref, f func(version int64)) (stop func(), err error)
}

// Parts are what a Follower is made of. All are required.
type Parts struct {
	Log    completion.Log
	Bell   Bell
	Limits Limits
	Guard  attend.Guard
	Logger *slog.Logger

	Heartbeat time.Duration   // pause between comments while nothing happens
	Write     time.Duration   // longest a client may take to read one event
	Stopping  context.Context // its end ends the streams, with its cause
}

// Follower is safe for concurrent use.
type Follower struct{ p Parts }

// New returns a Follower.
func New(p Parts) *Follower { return &Follower{p: p} }

// From is where a client wants to resume.
type From struct {
	After  string `query:"after" doc:"Only events with a higher seq; wins over Last-Event-ID."`
	LastID string `header:"Last-Event-ID" doc:"What an EventSource sends when it reconnects: the seq of the last event it saw."`
}

// Seq is the seq to resume after.
func (f *From) Seq() (int64, error) {
	for _, given := range []struct{ name, value string }{{"after", f.After}, {"Last-Event-ID", f.LastID}} {
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

// Errors are the statuses that an operation which answers with Events may fail with.
var Errors = []int{400, 401, 403, 404, 429, 503}

// Description says what all event streams have in common.
const Description = "as server-sent events, from the start or from where the client left off, to the " +
	"final one, after which the stream ends. The SSE id is the event's seq. Comments keep an idle stream alive. A server that stops ends " +
	"the stream with a reconnect event. 204 if the client has seen the final event already."

// Describe says of an operation that it answers with an event stream.
func Describe(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{
		Description: "The event stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
	}
}

// Events answers with the events of what find returns, which the caller may follow; ended says that it is in a final state.
func (f *Follower) Events(ctx context.Context, from From, find func() (ref completion.Ref, ended bool, err error)) (*huma.StreamResponse, error) {
	after, err := from.Seq()
	if err != nil {
		return nil, err
	}
	ref, ended, err := find()
	if err != nil {
		return nil, err
	}
	return f.open(ctx, ref.Job, func(ctx context.Context, stream *sse.Stream) (int64, error) {
		return f.send(ctx, stream, ref, ended, after)
	})
}

// teller writes events until the last one, and returns how far it came.
type teller func(ctx context.Context, stream *sse.Stream) (last int64, err error)

// open takes one of the tenant's places for a stream about id, which tell writes.
func (f *Follower) open(ctx context.Context, id string, tell teller) (*huma.StreamResponse, error) {
	caller := access.Of(ctx)
	place, err := f.p.Limits.Stream(ctx, caller.Tenant)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		defer place.Close()
		r, w := humago.Unwrap(c)
		ctx, cancel := context.WithCancelCause(r.Context())
		var watching sync.WaitGroup
		watching.Go(func() { attend.Watch(ctx, f.p.Guard, caller, place, cancel) })
		f.serve(ctx, w, id, tell)
		cancel(nil)
		watching.Wait() // it renews the place that is given up now
	}}, nil
}

// serve writes events until the last one, the client's end or the server's.
func (f *Follower) serve(ctx context.Context, w http.ResponseWriter, id string, tell teller) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer context.AfterFunc(f.p.Stopping, func() { cancel(context.Cause(f.p.Stopping)) })()
	stream := sse.New(w, f.p.Heartbeat, f.p.Write)
	var beat sync.WaitGroup
	beat.Go(func() { stream.Beat(ctx, cancel) })
	last, err := tell(ctx, stream)
	if err != nil {
		f.hangUp(ctx, stream, id, last, err)
	}
	cancel(nil)
	beat.Wait()
	stream.End()
}

// send writes records until the final one and returns the last seq that was written.
func (f *Follower) send(ctx context.Context, stream *sse.Stream, ref completion.Ref, ended bool, after int64) (last int64, err error) {
	if !ended {
		if err := stream.Open(); err != nil {
			return after, err
		}
	}
	last = after
	for record, err := range f.p.Log.Follow(ctx, ref, after) {
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
func (f *Follower) hangUp(ctx context.Context, stream *sse.Stream, id string, last int64, err error) {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, sse.ErrStopping):
		_ = stream.Send("", "reconnect", fmt.Appendf(nil, `{"after":%d}`, last)) // it may be gone as well
	case errors.Is(err, completion.ErrNotFound): // whoever comes again is told so
		f.p.Logger.Debug("viewer of what is gone", "id", id, "last", last)
	case cause == nil:
		f.p.Logger.Error("event stream broke", "id", id, "error", err)
	default:
		f.p.Logger.Debug("viewer left", "id", id, "last", last, "error", err)
	}
}
