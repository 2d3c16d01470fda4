package upstream

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"sluice/shared/completion"
	"sluice/shared/telemetry"

	openai "github.com/sashabaranov/go-openai"
)

const (
	maxErrorBody = 64 << 10               // bytes of an error answer that are read
	tailLimit    = 5 * time.Second        // wait for usage and [DONE] after every choice is finished
	drainLimit   = 250 * time.Millisecond // wait for the body's end after [DONE], so that the connection can be kept
)

// errStalled ends a call's context when no chunk came for the idle limit.
var errStalled = errors.New("no chunk for the idle limit")

// call is one request and its answer. It is for one goroutine, save for its context.
type call struct {
	up      *Upstream
	caller  context.Context // the caller's own
	ctx     context.Context // ends with the caller's, with errStalled, or with end
	cancel  context.CancelCauseFunc
	idle    *time.Timer
	body    []byte
	choices int
	native  bool      // a response is asked for as such
	filter  *filter   // nil before the answer's header
	opened  io.Closer // the answer's body; nil before its header
	whole   bool      // the answer comes in one piece
	answer  []byte    // that piece
}

func newCall(ctx context.Context, u *Upstream, body []byte, choices int) *call {
	c := &call{up: u, caller: ctx, body: body, choices: choices}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.idle = time.AfterFunc(u.cfg.IdleLimit, func() { c.cancel(errStalled) })
	c.idle.Stop()
	return c
}

func (c *call) end() {
	c.idle.Stop()
	c.cancel(nil)
}

// arm starts the idle limit for the next chunk.
func (c *call) arm() {
	limit := c.up.cfg.IdleLimit
	if c.filter != nil && c.filter.progress.finished(false) {
		limit = min(limit, tailLimit)
	}
	c.idle.Reset(limit)
}

// config makes the client library send its request through this call.
func (c *call) config() openai.ClientConfig {
	cfg := c.up.openai
	cfg.HTTPClient = c
	return cfg
}

// Do sends the caller's body in place of the library's and returns an answer that the library takes: 2xx, with a stream that
// the filter reads, or a whole body. All else becomes an error here.
func (c *call) Do(req *http.Request) (*http.Response, error) {
	_ = req.Body.Close()
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
	req.Body, _ = req.GetBody()
	req.ContentLength = int64(len(c.body))
	req.Header.Del("Connection")
	req.Header.Set("Accept-Encoding", "identity")
	if id := completion.RequestID(c.caller); id != "" {
		req.Header.Set("X-Client-Request-Id", id) // OpenAI's name for it
	}
	telemetry.W3C.Inject(c.ctx, propagation.HeaderCarrier(req.Header))
	req.Header.Set("User-Agent", "sluice")
	resp, err := c.send(req)
	if err != nil {
		return nil, err
	}
	c.arm()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, c.refused(resp)
	}
	if c.whole {
		return c.acceptWhole(resp)
	}
	return c.accept(resp)
}

// trace is what is known of a request's connection. Its fields are set by the transport's goroutines.
type trace struct{ connected, reused, answered atomic.Bool }

// send does one round trip. A server may close a kept connection at the moment it is used again: a request that fails
// so, before any byte of an answer, is sent once more on a new connection.
func (c *call) send(req *http.Request) (*http.Response, error) {
	var t trace
	resp, err := c.up.pool.RoundTrip(req.WithContext(t.watch(req.Context())))
	if err != nil && c.ctx.Err() == nil && t.reused.Load() && !t.answered.Load() && !timedOut(err) {
		again := req.WithContext(t.watch(req.Context()))
		again.Body, _ = req.GetBody()
		resp, err = c.up.fresh.RoundTrip(again)
	}
	switch {
	case err == nil:
		return resp, nil
	case c.ctx.Err() != nil:
		return nil, err
	case t.connected.Load() && timedOut(err):
		return nil, completion.NewError(completion.CodeStalled, "").Because(err)
	default:
		return nil, completion.NewError(completion.CodeUnreachable, "").Because(err)
	}
}

func (t *trace) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			t.connected.Store(true)
			t.reused.Store(i.Reused)
		},
		GotFirstResponseByte: func() { t.answered.Store(true) },
	})
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// refused reads an error answer.
func (c *call) refused(resp *http.Response) error {
	reader, err := decoded(resp)
	if err != nil {
		reader = http.NoBody
	}
	// What was read counts, also if the rest did not come.
	body, _ := io.ReadAll(io.LimitReader(reader, maxErrorBody))
	f := parseFault(body)
	f.status, f.header = resp.StatusCode, resp.Header
	return c.up.classify(f)
}

func (c *call) accept(resp *http.Response) (*http.Response, error) {
	reader, err := decoded(resp)
	if err != nil {
		_ = resp.Body.Close()
		return nil, completion.NewError(completion.CodeUpstreamGarbage, "").Because(err)
	}
	c.filter = newFilter(reader, c.up.cfg.MaxAnswerBytes, c.choices)
	c.filter.native = c.native
	c.filter.classify = func(f fault) error {
		f.header = resp.Header
		return c.up.classify(f)
	}
	resp.Body = &answerBody{ReadCloser: resp.Body, call: c}
	c.opened = resp.Body
	return resp, nil
}

// decoded is the body without its content encoding. None is asked for, but some servers compress regardless.
func decoded(resp *http.Response) (io.Reader, error) {
	switch e := strings.ToLower(resp.Header.Get("Content-Encoding")); e {
	case "", "identity":
		return resp.Body, nil
	case "gzip":
		return gzip.NewReader(resp.Body)
	default:
		return nil, fmt.Errorf("content encoding %q", e)
	}
}

// answerBody is the body that the library closes, and never reads.
type answerBody struct {
	io.ReadCloser
	call *call
}

// Close closes the response. After [DONE] it first reads to the end, which is near, to keep the connection.
func (b *answerBody) Close() error {
	if b.call.filter.done {
		b.call.idle.Reset(drainLimit)
		_, _ = io.CopyN(io.Discard, b.ReadCloser, 4<<10)
	}
	return b.ReadCloser.Close()
}

// failure is the error that the caller sees for err, which is this package's own or what became of an ended context.
func (c *call) failure(err error) *completion.Error {
	var own *completion.Error
	switch cause := context.Cause(c.caller); {
	case cause != nil && errors.As(cause, &own):
		return own
	case errors.Is(cause, context.DeadlineExceeded):
		return completion.NewError(completion.CodeTimeout, "").Because(cause)
	case cause != nil:
		return completion.NewError(completion.CodeCancelled, "").Because(cause)
	case errors.Is(context.Cause(c.ctx), errStalled):
		return completion.NewError(completion.CodeStalled, "").Because(errStalled)
	case errors.As(err, &own):
		return own
	default:
		return completion.NewError(completion.CodeUpstreamGarbage, "").Because(err)
	}
}
