package responses

import (
	"context"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/tidwall/gjson"

	"sluice/api/internal/access"
	"sluice/api/internal/attend"
	"sluice/api/internal/raw"
	"sluice/api/internal/reply"
	"sluice/api/internal/sse"
	"sluice/shared/completion"
)

type getInput struct {
	ID          string `path:"id" doc:"The id of the response: resp_…"`
	Stream      bool   `query:"stream" doc:"Stream its events instead, from the first on."`
	After       string `query:"starting_after" doc:"Only events with a higher sequence_number."`
	Obfuscation bool   `query:"include_obfuscation" doc:"Pad the deltas, so that their sizes say less about the text."`
}

// view is where the stream begins.
func (in *getInput) view() (reply.View, error) {
	v := reply.View{After: -1, Obfuscation: in.Obfuscation}
	if in.After == "" {
		return v, nil
	}
	n, err := strconv.ParseInt(in.After, 10, 64)
	if err != nil || n < 0 || n > completion.MaxSeq {
		return v, completion.Invalid("starting_after", "The parameter \"starting_after\" must be the sequence_number of an event: a whole number from 0.")
	}
	v.After = n
	return v, nil
}

func (f *Face) registerGet(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "get-response", Method: http.MethodGet, Path: path + "/{id}", Tags: tags, Errors: []int{400, 401, 403, 404, 429, 503},
		Security: access.Needs(completion.ScopeRead),
		Summary:  "Read or stream a response", Description: "As it stands, or with stream=true its events: all of them, or those after starting_after, as often as " +
			"wanted and for as long as the response is kept.",
	}, f.get)
	raw.Answers(api.OpenAPI().Paths[path+"/{id}"].Get, true)
}

// bodyLimit is what Resolve reads of a body, in bytes, and bodyWait how long it waits for it.
const (
	bodyLimit = 1 << 10
	bodyWait  = 5 * time.Second
)

// Resolve is huma's. The official SDK for Go asks for a stream in a body, {"stream":true}, which a GET has no other use for.
func (in *getInput) Resolve(c huma.Context) []error {
	r, _ := humago.Unwrap(c)
	if r.ContentLength <= 0 || r.ContentLength > bodyLimit || c.SetReadDeadline(time.Now().Add(bodyWait)) != nil {
		return nil
	}
	if body, err := io.ReadAll(r.Body); err == nil {
		in.Stream = in.Stream || gjson.GetBytes(body, "stream").Bool()
	}
	_ = c.SetReadDeadline(time.Time{}) // it could be set just now
	return nil
}

func (f *Face) get(ctx context.Context, in *getInput) (*huma.StreamResponse, error) {
	view, err := in.view()
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	job, err := f.find(ctx, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	if !in.Stream {
		return &huma.StreamResponse{Body: func(c huma.Context) {
			_, w := humago.Unwrap(c)
			raw.Write(w, reply.Object(job))
		}}, nil
	}
	client, err := f.Desk.Join(ctx, job)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		t := f.teller(client, view)
		f.Desk.Stream(c, client, t.tell, t.fail)
	}}, nil
}

// teller tells one client what its response says.
type teller struct {
	face    *Face
	client  attend.Client
	view    reply.View
	fresh   bool  // the job is new: there is nothing in the log yet
	patient bool  // nothing is sent before the upstream has answered, so that what fails early is an HTTP error
	last    int64 // number of the last event that was sent
	held    []reply.Event
	told    bool // the client knows why its stream ends
}

func (f *Face) teller(client attend.Client, view reply.View) *teller {
	view.Load = func(ctx context.Context) (completion.Job, error) { return f.Store.Get(ctx, client.Job.Ref()) }
	return &teller{face: f, client: client, view: view, last: view.After}
}

// tell writes events until the response's end, or until there is nothing more that this client can be told.
func (t *teller) tell(ctx context.Context, s *sse.Stream) error {
	stream, err := reply.Join(ctx, t.client.Job, t.view, t.past(ctx))
	if err == nil {
		err = t.send(s, stream.Open())
	}
	if err != nil || stream.Done() {
		return err
	}
	for record, err := range t.client.Events(ctx) {
		if err != nil {
			return err
		}
		events, err := stream.Add(ctx, record)
		if err == nil {
			err = t.early(ctx, s, record, len(events))
		}
		if err == nil {
			err = t.send(s, events)
		}
		switch {
		case err != nil:
			return err
		case stream.Done() && !record.Type.Final():
			t.told = true
			return completion.NewError(completion.CodeDiverged, "") // nobody waits for the job any more
		case stream.Done():
			return nil
		}
	}
	return nil
}

// past is what the log has now.
func (t *teller) past(ctx context.Context) iter.Seq2[completion.Record, error] {
	if t.fresh {
		return func(func(completion.Record, error) bool) {}
	}
	return t.face.Log.Read(ctx, t.client.Job.Ref())
}

// early holds back what comes before the answer's first event, and returns the error of a job that ended without one.
func (t *teller) early(ctx context.Context, s *sse.Stream, record completion.Record, events int) error {
	switch {
	case !t.patient || record.Type == completion.EventStarted || events == 0:
		return nil
	case s.Begun() || !record.Type.Final() || record.Type == completion.EventCompleted:
	default:
		job, err := t.view.Load(ctx)
		if err != nil {
			return err
		}
		return attend.Ended(job)
	}
	t.patient = false
	return nil
}

func (t *teller) send(s *sse.Stream, events []reply.Event) error {
	t.held = append(t.held, events...)
	if t.patient {
		return nil
	}
	for _, e := range t.held {
		if err := s.Send("", e.Type, e.Data); err != nil {
			return err
		}
		t.last = e.Number
	}
	t.held = nil
	return nil
}

// fail ends an event stream that is not at its response's end.
func (t *teller) fail(s *sse.Stream, err error) {
	if t.told {
		return
	}
	e := reply.Broken(completion.AsError(err), t.last)
	_ = s.Send("", e.Type, e.Data) // the client may be gone as well
}
