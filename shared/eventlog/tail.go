package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/nats-io/nats.go"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// tail chains its messages: each names the stream position of the job's message before it.
type tail struct {
	log   *Log
	place place
	last  completion.Record
	pos   uint64 // of the job's last message; 0: there is none
	offer offer
}

// offer is what a tail was offered and has not settled.
type offer struct {
	ctx     context.Context
	record  completion.Record
	settled func(error)
}

var _ completion.Tail = (*tail)(nil)

const expectation = "Nats-Expected-Last-Subject-Sequence"

// Open reads the end of the job's log and returns a Tail on it. It tries until ctx ends while JetStream is away.
func (l *Log) Open(ctx context.Context, ref completion.Ref) (completion.Tail, error) {
	t, err := l.open(ctx, ref)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Begin is Open for a log that the caller takes to be empty, and asks nobody. If it is not, the first Append answers ErrStale.
func (l *Log) Begin(ref completion.Ref) (completion.Tail, error) {
	p, err := locate(ref)
	if err != nil {
		return nil, fmt.Errorf("begin log: %w", err)
	}
	return &tail{log: l, place: p}, nil
}

// Resume is Open for a caller that knows of events up to seq, which the log may have lost: the next event's seq is above that
// in any case, so that nobody takes it for one seen before.
func (l *Log) Resume(ctx context.Context, ref completion.Ref, seq int64) (completion.Tail, error) {
	t, err := l.open(ctx, ref)
	if err != nil {
		return nil, err
	}
	t.last.Seq = max(t.last.Seq, seq)
	return t, nil
}

func (l *Log) open(ctx context.Context, ref completion.Ref) (*tail, error) {
	p, err := locate(ref)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	end, err := l.last(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", ref.Job, err)
	}
	return &tail{log: l, place: p, last: end.Record, pos: end.pos}, nil
}

func (t *tail) Last() completion.Record { return t.last }

// Append costs one round trip. See completion.Tail.
func (t *tail) Append(ctx context.Context, e completion.Event) error {
	r, err := t.record(ctx, &e)
	if err != nil {
		return err
	}
	to := make(waiter, 1)
	t.log.courier.send(parcel{subject: t.place.subject, pos: t.pos, data: r.Data, to: to})
	select {
	case a := <-to:
		return t.put(ctx, r, a.m, a.err)
	case <-ctx.Done():
		return t.put(ctx, r, nil, ctx.Err())
	}
}

// waiter is an addressee who waits. There is room for the answer even if it comes when nobody does any more.
type waiter chan response

type response struct {
	m   *nats.Msg
	err error
}

func (w waiter) answered(m *nats.Msg, err error) { w <- response{m, err} }

// Offer costs one round trip too, for which nobody waits. See completion.Tail.
func (t *tail) Offer(ctx context.Context, e *completion.Event, settled func(error)) {
	r, err := t.record(ctx, e)
	if err != nil {
		go settled(err)
		return
	}
	t.offer = offer{ctx, r, settled}
	t.log.courier.send(parcel{subject: t.place.subject, pos: t.pos, data: r.Data, to: t})
}

// answered settles the offer: at once if the server has taken it, else as Append does.
func (t *tail) answered(m *nats.Msg, err error) {
	o := t.offer
	t.offer = offer{}
	if err == nil && t.taken(o.record, m) {
		o.settled(nil)
		return
	}
	go func() { o.settled(t.put(o.ctx, o.record, m, err)) }()
}

// record makes e the record behind the last one, and gives it that seq.
func (t *tail) record(ctx context.Context, e *completion.Event) (r completion.Record, err error) {
	if ctx.Err() != nil {
		return r, fmt.Errorf("append %s event: %w", e.Type, context.Cause(ctx))
	}
	if t.last.Type.Final() {
		return r, fmt.Errorf("append %s event: %w", e.Type, completion.ErrFinal)
	}
	e.Seq = t.last.Seq + 1
	data, err := e.Encode()
	if err != nil {
		return r, fmt.Errorf("append: %w", err)
	}
	if len(data) > MaxMessageBytes {
		return r, fmt.Errorf("append %s event: %d bytes are more than the log's limit of %d", e.Type, len(data), MaxMessageBytes)
	}
	return completion.Record{Seq: e.Seq, Attempt: e.Attempt, Type: e.Type, Data: data}, nil
}

// message has r stored behind the last record, or not at all.
func (t *tail) message(r completion.Record) *nats.Msg {
	return &nats.Msg{Subject: t.place.subject, Data: r.Data, Header: nats.Header{expectation: []string{strconv.FormatUint(t.pos, 10)}}}
}

// put judges the answer to the message with r, or its failure, and sends it with the same expectation until the outcome is
// known, so that it is stored once at most.
func (t *tail) put(ctx context.Context, r completion.Record, m *nats.Msg, err error) error {
	for n := 0; ; n++ {
		known := false
		if err == nil {
			known, err = t.settle(ctx, r, m)
		}
		if !known {
			err = t.log.again(ctx, n, err)
		}
		switch {
		case err != nil:
			return fmt.Errorf("append %s event %d: %w", r.Type, r.Seq, err)
		case known:
			return nil
		}
		m, err = ask(ctx, t.log.nc, t.message(r), n+1)
	}
}

// Error codes of JetStream.
const (
	codeWrongLast = 10071 // the expectation is not met
	codeInFlight  = 10164 // another message of the subject is under way in a cluster, seldom the writer's own
	codeNoStream  = 10059
)

// settle judges the server's answer. known is false if r must be sent again; err then says why.
func (t *tail) settle(ctx context.Context, r completion.Record, m *nats.Msg) (known bool, err error) {
	if t.taken(r, m) {
		return true, nil
	}
	return t.refused(ctx, r, gjson.GetBytes(m.Data, "error"))
}

// taken reports whether the server has stored r, which is the log's last then.
func (t *tail) taken(r completion.Record, m *nats.Msg) bool {
	pos := gjson.Get(unsafe.String(unsafe.SliceData(m.Data), len(m.Data)), "seq").Uint() // nothing of the text is kept
	if pos > 0 {
		t.last, t.pos = r, pos
	}
	return pos > 0
}

func (t *tail) refused(ctx context.Context, r completion.Record, failure gjson.Result) (known bool, err error) {
	text := failure.Get("description").Str
	err = fmt.Errorf("JetStream: %s (%d)", text, failure.Get("err_code").Int())
	switch code := failure.Get("err_code").Int(); {
	case code == codeWrongLast:
		return t.resolve(ctx, r, text)
	case code == codeNoStream:
		t.log.note()
	case code == codeInFlight:
	case failure.Get("code").Int() == 400:
		return true, err
	}
	return false, err
}

// lagTries bounds how often the end is read again because a replica answered that has not caught up.
const lagTries = 5

// resolve finds out what a refused expectation means by looking at the end of the log.
func (t *tail) resolve(ctx context.Context, r completion.Record, text string) (known bool, err error) {
	leader, _ := strconv.ParseUint(text[strings.LastIndexByte(text, ' ')+1:], 10, 64)
	end, err := t.log.last(ctx, t.place)
	for n := 0; err == nil && end.pos < leader && n < lagTries; n++ {
		if err = pause(ctx, n); err == nil {
			end, err = t.log.last(ctx, t.place)
		}
	}
	switch {
	case err != nil:
		return true, err
	case end.pos > 0 && bytes.Equal(end.Data, r.Data): // stored before, only the answer was lost
		t.last, t.pos = r, end.pos
		return true, nil
	case end.Type.Final():
		return true, completion.ErrFinal
	case end.pos == t.pos:
		return false, fmt.Errorf("JetStream: %s, but the log ends there", text)
	case lost(t.last, end.Record):
		t.pos = end.pos
		t.last.Seq = max(t.last.Seq, end.Seq)
		return true, completion.ErrLogLost
	default:
		return true, completion.ErrStale
	}
}

// lost reports whether a log that ended with mine and now ends with end has lost records: attempts never go back, and
// within one seqs only grow.
func lost(mine, end completion.Record) bool {
	return end.Attempt < mine.Attempt || end.Attempt == mine.Attempt && end.Seq <= mine.Seq
}
