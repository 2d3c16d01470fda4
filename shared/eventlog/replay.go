package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/completion"
)

const (
	replayQueue    = 1024    // questions that wait; more are dropped, and asked again by their viewers
	replayWorkers  = 16      // questions being answered at the same time
	replayPerJob   = 4       // of them, how many about one job; more are answered with service_unavailable
	replayBytes    = 900_000 // of events in one answer, so that it stays below NATS' limit of 1 MiB
	replayQuestion = 1024    // bytes of a question
	replayLimit    = 5 * time.Second
)

// ServeReplay answers viewers' questions about the past until ctx ends; it then takes up to 5 s to answer those it has. Every
// process that may read the streams can serve, they share the work. It also creates streams again that were lost with
// their server's data.
//
// A question is {"from":n}, the first seq wanted, sent to replay.<tenant>.<job> with a reply subject below
// rp.<tenant>.<job>., which permissions confine to that job's viewers; questions with another reply subject are dropped.
// The answer is
//
//	{"events":[…],"more":false,"done":false,"cursor":"…"}
//
// with the events as they are stored. more: ask again, from behind the last one. done: the job has ended and the viewer
// has all of it. cursor: may be sent along with the next question, {"from":n,"cursor":"…"}, and spares the responder the
// reading of what came before; it changes nothing in the answer, whatever it says. Or the answer is
// {"error":{"code":…,"message":…,"retryable":…}}.
func (l *Log) ServeReplay(ctx context.Context) error {
	r := &responder{log: l, questions: make(chan *nats.Msg, replayQueue), busy: map[string]int{}}
	sub, err := l.nc.ChanQueueSubscribe("replay.*.*", "replay", r.questions)
	if err != nil {
		return fmt.Errorf("serve replays: %w", err)
	}
	status := l.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer l.nc.RemoveStatusListener(status)
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var workers sync.WaitGroup
	stopped := make(chan struct{})
	for range replayWorkers {
		workers.Go(func() { r.run(working, stopped) })
	}
	err = l.tend(ctx, status)
	_ = sub.Unsubscribe() // fails only when the connection is closed, which ends it too
	close(stopped)
	defer time.AfterFunc(replayLimit, cancel).Stop()
	workers.Wait()
	return err
}

// tend repairs the streams whenever they may be gone, until ctx ends.
func (l *Log) tend(ctx context.Context, status <-chan nats.Status) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-status:
			if s == nats.CLOSED && ctx.Err() == nil {
				return fmt.Errorf("serve replays: %w", nats.ErrConnectionClosed)
			}
		case <-l.missing:
		}
		if err := l.Ensure(ctx); err != nil && ctx.Err() == nil {
			l.opts.Log.Warn("repair streams", "error", err)
		}
	}
}

type responder struct {
	log       *Log
	questions chan *nats.Msg

	mu   sync.Mutex
	busy map[string]int // questions being answered, by subject
}

func (r *responder) run(ctx context.Context, stopped <-chan struct{}) {
	for {
		select {
		case m := <-r.questions:
			r.serve(ctx, m)
			continue
		default:
		}
		select {
		case m := <-r.questions:
			r.serve(ctx, m)
		case <-stopped:
			if len(r.questions) == 0 {
				return
			}
		}
	}
}

func (r *responder) serve(ctx context.Context, m *nats.Msg) {
	ref, ok := asker(m.Subject, m.Reply)
	if !ok {
		return
	}
	answer := r.busyAnswer
	if r.enter(m.Subject) {
		defer r.leave(m.Subject)
		answer = r.answer
	}
	data, err := answer(ctx, ref, m.Data)
	if err != nil {
		if !isAny(err, errQuestion, errBusy, completion.ErrNotFound) {
			r.log.opts.Log.Warn("answer a replay", "job_id", ref.Job, "tenant", ref.Tenant, "error", err)
		}
		data = failure(err)
	}
	if err := r.log.nc.Publish(m.Reply, data); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		r.log.opts.Log.Warn("send a replay", "job_id", ref.Job, "tenant", ref.Tenant, "error", err)
	}
}

func (r *responder) enter(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[subject] >= replayPerJob {
		return false
	}
	r.busy[subject]++
	return true
}

func (r *responder) leave(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[subject]--; r.busy[subject] == 0 {
		delete(r.busy, subject)
	}
}

var (
	errBusy     = errors.New("too many questions about one job")
	errQuestion = errors.New("a replay question must be {\"from\":n} with n of at least 1")
)

func (r *responder) busyAnswer(context.Context, completion.Ref, []byte) ([]byte, error) {
	return nil, errBusy
}

func (r *responder) answer(ctx context.Context, ref completion.Ref, data []byte) ([]byte, error) {
	q, err := parseQuestion(data)
	if err != nil {
		return nil, err
	}
	p, err := locate(ref)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, replayLimit)
	defer cancel()
	s := &stream{log: r.log, ref: ref, place: p, pos: q.pos()}
	out, reached := []byte(`{"events":[`), s.pos
	m := &merge{last: q.From - 1, yield: func(e completion.Record, _ error) bool {
		if len(out)+len(e.Data) > replayBytes {
			return false
		}
		if out[len(out)-1] != '[' {
			out = append(out, ',')
		}
		out = append(out, e.Data...)
		reached = s.pos
		return true
	}}
	if err := s.catchUp(ctx, m, first); err != nil {
		return nil, err
	}
	if s.mended {
		r.log.fromStore.Add(1)
	} else {
		r.log.fromLog.Add(1)
	}
	return fmt.Appendf(out, `],"more":%t,"done":%t,"cursor":"%d"}`, m.left, m.final && !m.left, reached), nil
}

// asker returns the job that a question is about, if the reply subject belongs to it. A server checks whom a client may
// publish to, but not which reply subject it names: whoever answers must.
func asker(subject, reply string) (ref completion.Ref, ok bool) {
	rest, ok := strings.CutPrefix(subject, "replay.")
	if !ok {
		return ref, false
	}
	ref.Tenant, ref.Job, _ = strings.Cut(rest, ".")
	if !completion.ValidToken(ref.Tenant) || !completion.ValidToken(ref.Job) {
		return ref, false
	}
	own := "rp." + rest + "."
	return ref, strings.HasPrefix(reply, own) && !strings.ContainsAny(reply, "*> ")
}

// question is what a viewer asks.
type question struct {
	From   int64  `json:"from"`
	Cursor string `json:"cursor"` // where an answer ended that the viewer has had
}

func parseQuestion(data []byte) (q question, err error) {
	if len(data) > replayQuestion {
		return q, errQuestion
	}
	if err := json.Unmarshal(data, &q); err != nil || q.From < 1 || q.From-1 > completion.MaxSeq {
		return q, errQuestion
	}
	return q, nil
}

// pos is where to begin to read, 0 for the start. A viewer may have made it up; stream.read finds out.
func (q question) pos() uint64 {
	pos, err := strconv.ParseUint(q.Cursor, 10, 63)
	if err != nil {
		return 0
	}
	return pos
}

func failure(err error) []byte {
	code := completion.CodeUnavailable
	message := ""
	switch {
	case errors.Is(err, errQuestion):
		code, message = completion.CodeInvalidRequest, errQuestion.Error()
	case errors.Is(err, completion.ErrNotFound):
		code = completion.CodeNotFound
	}
	data, _ := json.Marshal(map[string]any{"error": completion.NewError(code, message)}) // strings and booleans only
	return data
}
