package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

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
	msg   *nats.Msg
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
	return l.tail(p, entry{}), nil
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
	return l.tail(p, end), nil
}

func (l *Log) tail(p place, end entry) *tail {
	t := &tail{log: l, place: p, last: end.Record, pos: end.pos}
	t.msg = &nats.Msg{Subject: p.subject, Header: nats.Header{expectation: []string{""}}}
	return t
}

func (t *tail) Last() completion.Record { return t.last }

// Append costs one round trip. See completion.Tail.
func (t *tail) Append(ctx context.Context, e completion.Event) error {
	if t.last.Type.Final() {
		return fmt.Errorf("append %s event: %w", e.Type, completion.ErrFinal)
	}
	e.Seq = t.last.Seq + 1
	data, err := e.Encode()
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if len(data) > MaxMessageBytes {
		return fmt.Errorf("append %s event: %d bytes are more than the log's limit of %d", e.Type, len(data), MaxMessageBytes)
	}
	if err := t.put(ctx, completion.Record{Seq: e.Seq, Attempt: e.Attempt, Type: e.Type, Data: data}); err != nil {
		return fmt.Errorf("append %s event %d: %w", e.Type, e.Seq, err)
	}
	return nil
}

// put sends r with the same expectation until the outcome is known, so that it is stored once at most.
func (t *tail) put(ctx context.Context, r completion.Record) error {
	t.msg.Data = r.Data
	t.msg.Header[expectation][0] = strconv.FormatUint(t.pos, 10)
	for n := 0; ; n++ {
		m, err := ask(ctx, t.log.nc, t.msg, n)
		if err == nil {
			var known bool
			if known, err = t.settle(ctx, r, m); known {
				return err
			}
		}
		if err := t.log.again(ctx, n, err); err != nil {
			return err
		}
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
	if pos := gjson.GetBytes(m.Data, "seq").Uint(); pos > 0 {
		t.last, t.pos = r, pos
		return true, nil
	}
	return t.refused(ctx, r, gjson.GetBytes(m.Data, "error"))
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
