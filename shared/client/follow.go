package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/shared/completion"
)

// reconnectMax is the longest pause before a broken event stream is opened again.
const reconnectMax = 5 * time.Second

// Follow yields the job's events with a seq above after, in order and each once, and ends after the final one. A broken
// connection is opened again where it broke, for as long as ctx allows; an answer that says no (an *Error below 500)
// ends it.
func (c *Client) Follow(ctx context.Context, id string, after int64) iter.Seq2[completion.Event, error] {
	return c.follow(ctx, "/v1/jobs/"+url.PathEscape(id)+"/events", after)
}

// FollowBatch is Follow for the events of a batch. Their Lines are BatchLines, their Batch is a Batch without its errors.
func (c *Client) FollowBatch(ctx context.Context, id string, after int64) iter.Seq2[completion.Event, error] {
	return c.follow(ctx, batchPath(id)+"/events", after)
}

func (c *Client) follow(ctx context.Context, path string, after int64) iter.Seq2[completion.Event, error] {
	return func(yield func(completion.Event, error) bool) {
		err := persist(ctx, &after, func() (done bool, err error) { return c.followOnce(ctx, path, &after, yield) })
		if err != nil {
			yield(completion.Event{}, err)
		}
	}
}

// persist connects once and again until there is nothing left to do, the API says no, or ctx ends. The pauses in between
// grow for as long as a connection does not get further.
func persist(ctx context.Context, after *int64, once func() (done bool, err error)) error {
	wait := 100 * time.Millisecond
	for {
		before := *after
		done, err := once()
		if done {
			return nil
		}
		if final(err) {
			return err
		}
		if wait = min(2*wait, reconnectMax); *after > before {
			wait = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// final reports whether asking again has no sense.
func final(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Status < http.StatusInternalServerError
}

// followOnce reads one connection's worth of events; done means that there is nothing left to do.
func (c *Client) followOnce(ctx context.Context, path string, after *int64, yield func(completion.Event, error) bool) (done bool, err error) {
	resp, err := c.send(ctx, http.MethodGet, path, nil, http.Header{"Last-Event-Id": {strconv.FormatInt(*after, 10)}})
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return true, nil
	}
	for e, err := range events(resp.Body) {
		if err != nil {
			return false, err
		}
		if e.Seq <= *after {
			continue
		}
		*after = e.Seq
		if !yield(e, nil) || e.Type.Final() {
			return true, nil
		}
	}
	return false, io.ErrUnexpectedEOF
}

// events reads server-sent events. Those without an id are the server's own and are passed
// over, as are those without data.
func events(r io.Reader) iter.Seq2[completion.Event, error] {
	return func(yield func(completion.Event, error) bool) {
		for f, err := range frames(r) {
			switch {
			case err != nil:
				yield(completion.Event{}, err)
				return
			case f.numbered && !yield(completion.Record{Data: f.data}.Event()):
				return
			}
		}
	}
}

// frame is one server-sent event.
type frame struct {
	name     string // the last of its names; empty: none
	data     []byte // lines that end in a newline
	numbered bool   // it has an id
}

// frames reads server-sent events that have data.
func frames(r io.Reader) iter.Seq2[frame, error] {
	return func(yield func(frame, error) bool) {
		in := bufio.NewReader(r)
		var f frame
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(frame{}, fmt.Errorf("read events: %w", err))
				}
				return
			}
			line = bytes.TrimRight(line, "\r\n")
			name, value, _ := bytes.Cut(line, []byte(":"))
			switch value = bytes.TrimPrefix(value, []byte(" ")); {
			case len(line) == 0:
				if len(f.data) > 0 && !yield(f, nil) {
					return
				}
				f = frame{}
			case string(name) == "data":
				f.data = append(append(f.data, value...), '\n')
			case string(name) == "id":
				f.numbered = true
			case string(name) == "event":
				f.name = string(value)
			}
		}
	}
}
