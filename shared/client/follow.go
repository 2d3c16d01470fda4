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
		wait := 100 * time.Millisecond
		for {
			before := after
			done, err := c.followOnce(ctx, path, &after, yield)
			if done {
				return
			}
			var refused *Error
			if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
				yield(completion.Event{}, err)
				return
			}
			if wait = min(2*wait, reconnectMax); after > before {
				wait = 100 * time.Millisecond
			}
			select {
			case <-ctx.Done():
				yield(completion.Event{}, context.Cause(ctx))
				return
			case <-time.After(wait):
			}
		}
	}
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
		in := bufio.NewReader(r)
		var data []byte
		numbered := false
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(completion.Event{}, fmt.Errorf("read events: %w", err))
				}
				return
			}
			line = bytes.TrimRight(line, "\r\n")
			name, value, _ := bytes.Cut(line, []byte(":"))
			switch value = bytes.TrimPrefix(value, []byte(" ")); {
			case len(line) == 0:
				if numbered && len(data) > 0 && !yield(completion.Record{Data: data}.Event()) {
					return
				}
				data, numbered = nil, false
			case string(name) == "data":
				data = append(append(data, value...), '\n')
			case string(name) == "id":
				numbered = true
			}
		}
	}
}
