package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/completion"
)

const (
	// A page of the past: at most so many events, or the bytes and one event more.
	pageEvents = 512
	pageBytes  = 512 << 10
)

var errUnanswered = errors.New("JetStream did not answer")

// entry is a stored record and its position in its stream, which is 0 for "none".
type entry struct {
	completion.Record
	pos uint64
}

func stored(m *nats.Msg) (entry, error) {
	pos, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return entry{}, fmt.Errorf("read a stored event's position: %w", err)
	}
	r, _ := head(m.Data) // what is not an event keeps seq 0 and is passed over
	return entry{Record: r, pos: pos}, nil
}

// patience is how long the request after the n-th failure (from 0) may stay unanswered: 500 ms, doubling to 4 s. It
// starts low because a request that was under way when the connection broke is never answered.
func patience(n int) time.Duration { return 500 * time.Millisecond << min(n, 3) }

// ask sends the request after the n-th failure and waits for its answer.
func ask(ctx context.Context, nc *nats.Conn, m *nats.Msg, n int) (*nats.Msg, error) {
	limited, cancel := context.WithTimeout(ctx, patience(n))
	defer cancel()
	return nc.RequestMsgWithContext(limited, m)
}

// hopeless reports whether sending the same again cannot help.
func hopeless(err error) bool {
	for _, e := range []error{nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrHeadersNotSupported} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pause waits before the try after the n-th failure (from 0): 10 ms, doubling to 320 ms. It returns the cause if ctx ends.
func pause(ctx context.Context, n int) error {
	t := time.NewTimer(10 * time.Millisecond << min(n, 5))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// again decides about a failed exchange: nil after a pause if it should be tried again, else the error to return.
func (l *Log) again(ctx context.Context, n int, err error) error {
	if hopeless(err) {
		return err
	}
	if errors.Is(err, nats.ErrNoResponders) && n > 0 {
		l.note()
	}
	return pause(ctx, n)
}

// last returns the job's last stored record; the zero entry if there is none. It tries until ctx ends.
func (l *Log) last(ctx context.Context, p place) (entry, error) {
	request := nats.NewMsg("$JS.API.DIRECT.GET." + p.stream + "." + p.subject)
	for n := 0; ; n++ {
		m, err := ask(ctx, l.nc, request, n)
		if err == nil {
			switch status := m.Header.Get("Status"); status {
			case "":
				return stored(m)
			case "404":
				return entry{}, nil
			default:
				err = fmt.Errorf("JetStream answered %s %s", status, m.Header.Get("Description"))
			}
		}
		if err := l.again(ctx, n, err); err != nil {
			return entry{}, fmt.Errorf("read the last event: %w", err)
		}
	}
}

// read calls keep with the job's stored records behind stream position pos, in order, until there are no more or keep
// returns false. It tries until ctx ends.
func (l *Log) read(ctx context.Context, p place, pos uint64, keep func(entry) bool) error {
	r := reader{nc: l.nc, place: p, pos: pos, inbox: l.nc.NewInbox(), answers: make(chan *nats.Msg, pageEvents+8)}
	sub, err := l.nc.ChanSubscribe(r.inbox+".*", r.answers)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed, which frees it too
	for n := 0; ; n++ {
		before := r.pos
		more, err := r.page(ctx, patience(n), keep)
		switch {
		case err == nil && !more:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case r.pos > before:
			n = -1
			continue
		case err == nil:
			err = errors.New("JetStream says there is more, and sends nothing")
		}
		if err := l.again(ctx, n, err); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
	}
}

// reader reads pages of one job's past by Direct Get, which costs the server no consumer.
type reader struct {
	nc      *nats.Conn
	place   place
	pos     uint64
	inbox   string
	answers chan *nats.Msg
	asked   int
}

// page asks for one page and passes it on. Each question has an answer subject of its own, so that late answers to an
// older one are told apart.
func (r *reader) page(ctx context.Context, wait time.Duration, keep func(entry) bool) (more bool, err error) {
	r.asked++
	reply := r.inbox + "." + strconv.Itoa(r.asked)
	request := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d,"next_by_subj":%q}`, r.pos+1, pageEvents, pageBytes, r.place.subject)
	if err := r.nc.PublishRequest("$JS.API.DIRECT.GET."+r.place.stream, reply, request); err != nil {
		return false, err
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-limit.C:
			return false, errUnanswered
		case m := <-r.answers:
			if m.Subject != reply {
				continue
			}
			switch status := m.Header.Get("Status"); status {
			case "":
			case "204":
				return m.Header.Get("Nats-Num-Pending") != "0", nil
			case "404":
				return false, nil
			case "503":
				return false, nats.ErrNoResponders
			default:
				return false, fmt.Errorf("JetStream answered %s %s", status, m.Header.Get("Description"))
			}
			e, err := stored(m)
			if err != nil {
				return false, err
			}
			r.pos = e.pos
			if !keep(e) {
				return false, nil
			}
			limit.Reset(wait)
		}
	}
}
