package attend

import (
	"context"
	"iter"
	"net/http"

	"sluice/api/internal/access"
	"sluice/api/internal/intake"
	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/limit"
)

// Terms are the headers of a request that makes a job and waits for it.
type Terms struct {
	Key          string `header:"Idempotency-Key" doc:"Asking again with the same key and body joins the existing job and its stream; with another body it is a 409."`
	OnDisconnect string `header:"X-Sluice-On-Disconnect" enum:"continue,cancel" doc:"What becomes of the job when the client leaves before the end. By default it is cancelled, unless it is stored or has an idempotency key."`
	Type         string `header:"Content-Type" hidden:"true"`
}

// Client is one request that waits.
type Client struct {
	Job     completion.Job
	Created bool // the request made the job; otherwise it was there already

	caller access.Caller
	log    Log
	feed   *eventlog.Feed // of the job, since before it was accepted; nil: the job was there already, or nobody waits for it
	place  *limit.Stream  // among the tenant's event streams, given up in the end; nil: none
	keep   bool           // the job goes on when the client leaves
}

// Manner is how a client gets the answer. The zero value: it waits, and gets it in one piece.
type Manner struct {
	Stream     bool // as an event stream
	Background bool // it asks for it later, unless it wants a stream
}

// Take accepts what a request asks of endpoint e, for a client that waits for it. read checks the body, puts what it says into
// the job, and says how the client wants the answer.
func (d *Desk) Take(ctx context.Context, e completion.Endpoint, t Terms, body []byte, read func(job *completion.Job) (Manner, error)) (Client, error) {
	c := Client{caller: access.Of(ctx), log: d.p.Log}
	b := intake.Body{Endpoint: e, Bytes: body, Type: t.Type, Key: t.Key}
	if err := d.p.Intake.Allow(ctx, c.caller.Tenant, b); err != nil {
		return Client{}, err
	}
	c.Job = d.p.Intake.NewJob(ctx, c.caller.Tenant, b)
	manner, err := read(&c.Job)
	if err == nil {
		err = d.p.Models.Check(ctx, c.Job.Model)
		if err != nil && d.p.Intake.Repeats(ctx, &c.Job) {
			err = nil // the job is there, though its model may not be any more (I7)
		}
	}
	if err == nil && manner.Stream {
		c.place, err = d.p.Limits.Stream(ctx, c.caller.Tenant)
	}
	if err == nil && (manner.Stream || !manner.Background) {
		c.feed, err = d.p.Log.Subscribe(ctx, c.Job.Ref())
	}
	if err == nil {
		c.Job, c.Created, err = d.p.Intake.Accept(ctx, &c.Job)
	}
	if err != nil {
		c.leave()
		return Client{}, err
	}
	if !c.Created {
		c.deafen()
	}
	c.keep = c.Job.Stored || t.Key != ""
	if t.OnDisconnect != "" {
		c.keep = t.OnDisconnect == "continue"
	}
	return c, nil
}

// Join is Take for a client that follows, as an event stream, a job that is there.
func (d *Desk) Join(ctx context.Context, job completion.Job) (Client, error) {
	c := Client{Job: job, Created: true, caller: access.Of(ctx), log: d.p.Log, keep: true}
	var err error
	c.place, err = d.p.Limits.Stream(ctx, job.Tenant)
	return c, err
}

// Introduce says in an answer's header which job is behind it.
func (c *Client) Introduce(h http.Header) {
	h.Set("X-Sluice-Job-Id", c.Job.ID)
	h.Set("X-Sluice-Subject", c.Job.Ref().Subject())
	if !c.Created {
		h.Set("Idempotent-Replayed", "true")
	}
}

// Events yields the job's records from the first one on, as Follow of completion.Log does.
func (c *Client) Events(ctx context.Context) iter.Seq2[completion.Record, error] {
	if c.feed != nil {
		return c.feed.Fresh(ctx)
	}
	return c.log.Follow(ctx, c.Job.Ref(), 0)
}

func (c *Client) deafen() {
	if c.feed != nil {
		c.feed.Close()
		c.feed = nil
	}
}

// leave gives up what the client holds.
func (c *Client) leave() {
	c.deafen()
	if c.place != nil {
		c.place.Close()
	}
}
