package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/completion"
	"sluice/shared/credential"
	"sluice/shared/eventlog"
)

// View is Follow over NATS: it connects to the job's stream with a credential of its own, which it renews, and goes on
// where it was when a connection breaks or a credential ends. It ends with an *Error when the API refuses to give one. An
// installation that does not serve NATS to clients answers 404; Follow works there.
func (c *Client) View(ctx context.Context, id string, after int64) iter.Seq2[completion.Event, error] {
	return view(ctx, id, c.Credential, after)
}

// ViewBatch is View for the events of a batch, which are those of FollowBatch.
func (c *Client) ViewBatch(ctx context.Context, id string, after int64) iter.Seq2[completion.Event, error] {
	return view(ctx, id, c.BatchCredential, after)
}

// ask gets a credential for one job or batch, another one each time.
type ask func(ctx context.Context, id string) (Credential, error)

func view(ctx context.Context, id string, a ask, after int64) iter.Seq2[completion.Event, error] {
	return func(yield func(completion.Event, error) bool) {
		ctx, end := context.WithCancelCause(ctx)
		defer end(nil)
		nc, ref, err := connect(ctx, id, a, end)
		if err != nil {
			yield(completion.Event{}, err)
			return
		}
		defer nc.Close()
		for r, err := range eventlog.View(ctx, nc, ref, after) {
			var e completion.Event
			if err == nil {
				e, err = r.Event()
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// connect connects to where the events are. An API that refuses a further credential calls end.
func connect(ctx context.Context, id string, a ask, end context.CancelCauseFunc, more ...nats.Option) (*nats.Conn, completion.Ref, error) {
	first, err := a(ctx, id)
	if err != nil {
		return nil, completion.Ref{}, err
	}
	tenant, job, _ := strings.Cut(strings.TrimPrefix(first.Subject, "completions."), ".")
	url := first.NATSURL
	if url == "" {
		url = first.WebSocketURL
	}
	used := false
	token := func() (string, error) { // called by one connection at a time
		if !used {
			used = true
			return first.Credential, nil
		}
		next, err := a(ctx, id)
		var refused *Error
		if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests {
			end(err)
		}
		return next.Credential, err
	}
	options := append(credential.Bearer(token), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.CustomReconnectDelay(delay),
		nats.Timeout(connectLimit), nats.ErrorHandler(quiet))
	nc, err := nats.Connect(url, append(options, more...)...)
	if err != nil {
		return nil, completion.Ref{}, fmt.Errorf("connect to %s: %w", url, err)
	}
	return nc, completion.Ref{Tenant: tenant, Job: job}, nil
}

// connectLimit is how long one try to connect may take.
const connectLimit = 5 * time.Second

// delay is the pause before the n-th try to connect again: from 0.1 s, doubling, up to reconnectMax.
func delay(n int) time.Duration { return min(100*time.Millisecond<<min(n, 10), reconnectMax) }

// quiet drops what nats.go reports out of band: View looks at the log again after whatever it was.
func quiet(*nats.Conn, *nats.Subscription, error) {}
