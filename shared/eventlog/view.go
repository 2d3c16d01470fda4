package eventlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// View is Follow for programs outside: it needs no more than a viewer may do, which is to subscribe to
// completions.<tenant>.<job> and rp.<tenant>.<job>.>, and to publish to replay.<tenant>.<job>. It works over TCP and
// WebSocket, and through reconnects of nc. It ends with an error when ctx does, when nc is closed, or when the question
// is refused for good (a *completion.Error).
func View(ctx context.Context, nc *nats.Conn, ref completion.Ref, after int64) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		f, free, err := view(nc, ref)
		if err != nil {
			yield(completion.Record{}, fmt.Errorf("view: %w", err))
			return
		}
		defer free()
		f.Records(ctx, after)(yield)
	}
}

func view(nc *nats.Conn, ref completion.Ref) (f *Feed, free func(), err error) {
	if _, err := locate(ref); err != nil {
		return nil, nil, err
	}
	name := ref.Tenant + "." + ref.Job
	r := &replayed{nc: nc, subject: "replay." + name, inbox: "rp." + name + "." + rand.Text(), answers: make(chan *nats.Msg, 4)}
	sub, err := nc.ChanSubscribe(r.inbox+".*", r.answers)
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe to %s: %w", r.inbox, err)
	}
	deaf := func() { _ = sub.Unsubscribe() } // fails only when the connection is closed, which frees it too
	if f, err = subscribe(nc, ref, defaultSilence, r); err != nil {
		deaf()
		return nil, nil, err
	}
	return f, func() { f.Close(); deaf() }, nil
}

// replayed is the past as ServeReplay tells it.
type replayed struct {
	nc      *nats.Conn
	subject string
	inbox   string
	answers chan *nats.Msg // room for 4; an older answer may be dropped, it is of no use
	asked   int
	cursor  string // of the latest answer; empty: none
}

var errNotYet = errors.New("no answer yet")

func (r *replayed) catchUp(ctx context.Context, m *merge, _ reason) error {
	for n := 0; ; n++ {
		before := m.last
		more, err := r.page(ctx, 2*patience(n), m)
		switch {
		case err == nil && !more || m.done():
			return err
		case err == nil && m.last > before:
			n = -1
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !retryable(err):
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

func retryable(err error) bool {
	var refused *completion.Error
	if errors.As(err, &refused) {
		return refused.Retryable
	}
	return !hopeless(err)
}

func (r *replayed) page(ctx context.Context, wait time.Duration, m *merge) (more bool, err error) {
	r.asked++
	reply := r.inbox + "." + strconv.Itoa(r.asked)
	if err := r.nc.PublishRequest(r.subject, reply, fmt.Appendf(nil, `{"from":%d,"cursor":%q}`, m.last+1, r.cursor)); err != nil {
		return false, err
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-limit.C:
			if r.nc.IsClosed() {
				return false, nats.ErrConnectionClosed
			}
			return false, errNotYet
		case a := <-r.answers:
			if a.Subject != reply {
				continue
			}
			if cursor := gjson.GetBytes(a.Data, "cursor").Str; cursor != "" {
				r.cursor = cursor
			}
			return m.answer(a)
		}
	}
}

// answer adds what a replay brought.
func (m *merge) answer(a *nats.Msg) (more bool, err error) {
	if a.Header.Get("Status") != "" { // nobody serves replays at the moment
		return false, errNotYet
	}
	if e := gjson.GetBytes(a.Data, "error"); e.Exists() {
		refused := completion.NewError(completion.Code(e.Get("code").Str), e.Get("message").Str)
		refused.Retryable = e.Get("retryable").Bool()
		return false, refused
	}
	gjson.GetBytes(a.Data, "events").ForEach(func(_, e gjson.Result) bool {
		if r, ok := head([]byte(e.Raw)); ok {
			return m.add(r)
		}
		return true
	})
	if gjson.GetBytes(a.Data, "done").Bool() {
		m.final = true
	}
	return gjson.GetBytes(a.Data, "more").Bool(), nil
}
