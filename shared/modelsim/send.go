package modelsim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

var (
	errGone = errors.New("client has gone, or the simulated model is closed")
	errDrop = errors.New("a fault drops the connection")
)

// send sends the answer at its pace. Its error says why the connection must be dropped.
func (a *answer) send(ctx context.Context, w http.ResponseWriter) error {
	pace := newPacer(a.script)
	defer pace.stop()
	if a.req.Stream {
		if a.script.keepaliveClose {
			return a.sendAndTrap(ctx, w, pace)
		}
		return a.stream(ctx, w, pace)
	}
	return a.sendWhole(ctx, w, pace, a.whole)
}

// sendWhole sends an answer in one piece, which render makes.
func (a *answer) sendWhole(ctx context.Context, w http.ResponseWriter, pace *pacer, render func() []byte) error {
	switch {
	case a.script.reset != never:
		return reset(w)
	case a.script.stall != never:
		<-ctx.Done()
		return errGone
	case a.script.streamOnly():
		return errDrop
	}
	if err := pace.wait(ctx, len(a.pieces)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(render())
	return gone(err)
}

// streamer writes one answer's frames.
type streamer struct {
	*answer
	w     http.ResponseWriter
	flush func() error
	buf   []byte
	n     int // chunks sent

	constant, end string // what chunks begin and end with
}

func (a *answer) stream(ctx context.Context, w http.ResponseWriter, pace *pacer) error {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	s := &streamer{answer: a, w: w, flush: http.NewResponseController(w).Flush, end: a.tail()}
	if a.script.empty {
		return s.write("data: [DONE]\n\n", true)
	}
	if a.script.reset == 0 {
		return reset(w)
	}
	if err := s.roles(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if i < len(a.pieces) {
			if err := pace.wait(ctx, i); err != nil {
				return err
			}
		}
		if over, err := s.fault(ctx, i); over || err != nil {
			return err
		}
		if i == len(a.pieces) {
			return s.finish()
		}
		if err := s.delta(i, !pace.instant()); err != nil {
			return err
		}
	}
}

// fault does what the script has for the place before delta i, and reports whether the stream ends there.
func (s *streamer) fault(ctx context.Context, i int) (over bool, err error) {
	here := func(at int) bool { return at != never && i == min(at, len(s.pieces)) }
	if s.script.comments > 0 && i%s.script.comments == 0 {
		err = s.write(": keep-alive\n\n", false)
	}
	if here(s.script.garbage) && err == nil {
		err = s.write("data: {\"choices\":[{\"delta\":{\n\n", false)
	}
	switch {
	case err != nil:
	case here(s.script.cut):
		err = errors.Join(s.flush(), errDrop)
	case here(s.script.reset):
		_ = s.flush()
		err = reset(s.w)
	case here(s.script.stall):
		_ = s.flush()
		<-ctx.Done()
		err = errGone
	case here(s.script.errorFrame):
		code := s.script.code
		if code == "" {
			code = "server_error"
		}
		return true, s.write(`event: error`+"\n"+`data: {"error":{"message":"The simulated model was told to fail.","type":"server_error","param":null,"code":"`+escape(code)+"\"}}\n\n", true)
	}
	return false, err
}

// roles sends the first chunk of each choice. A text completion has none.
func (s *streamer) roles() error {
	if s.req.text {
		return s.flush()
	}
	content := `""`
	if s.script.nullContent || s.reason == "tool_calls" {
		content = "null"
	}
	for c := range s.req.choices() {
		s.open(c)
		s.buf = append(s.buf, `{"role":"assistant","content":`+content+`,"refusal":null}`...)
		if err := s.shut(nil, "null", false); err != nil {
			return err
		}
	}
	return s.flush()
}

func (s *streamer) delta(i int, flush bool) error {
	for c := range s.req.choices() {
		if s.script.stamp && s.pieces[i].kind == spoken {
			s.pieces[i].text = strconv.FormatInt(time.Now().UnixNano(), 10) + " "
		}
		s.open(c)
		if s.req.text {
			s.buf = append(append(append(s.buf, '"'), s.pieces[i].text...), '"')
		} else {
			s.buf = appendDelta(s.buf, s.pieces[i])
		}
		if err := s.shut(s.pieces[i:i+1], "null", flush); err != nil {
			return err
		}
	}
	return nil
}

// finish sends what follows the last delta.
func (s *streamer) finish() error {
	if s.script.nofinish {
		return s.flush()
	}
	finished := s.req.choices()
	if s.script.unfinished {
		finished--
	}
	for c := range finished {
		s.open(c)
		if s.req.text {
			s.buf = append(s.buf, `""`...)
		} else {
			s.buf = append(s.buf, "{}"...)
		}
		if err := s.shut(nil, `"`+s.reason+`"`, false); err != nil {
			return err
		}
	}
	if s.req.StreamOptions.IncludeUsage && !s.script.nousage {
		if err := s.write("data: "+s.head("chat.completion.chunk", s.n)+`,"choices":[],"usage":`+s.usage+"}\n\n", false); err != nil {
			return err
		}
	}
	if s.script.nodone {
		return s.flush()
	}
	return s.write("data: [DONE]\n\n", true)
}

// open begins a chunk of choice c, up to its delta or text.
func (s *streamer) open(c int) {
	if s.constant == "" || s.script.idChanges {
		s.constant = "data: " + s.head("chat.completion.chunk", s.n) + `,"choices":[{"index":`
	}
	s.n++
	s.buf = append(s.buf[:0], s.constant...)
	s.buf = strconv.AppendInt(s.buf, int64(c), 10)
	if s.req.text {
		s.buf = append(s.buf, `,"text":`...)
	} else {
		s.buf = append(s.buf, `,"delta":`...)
	}
}

// shut ends the chunk and sends it.
func (s *streamer) shut(said []piece, finish string, flush bool) error {
	s.buf = s.appendLogprobs(s.buf, said...)
	s.buf = append(append(append(s.buf, `,"finish_reason":`...), finish...), "}]"...)
	s.buf = append(append(s.buf, s.end...), "\n\n"...)
	if _, err := s.w.Write(s.buf); err != nil || !flush {
		return gone(err)
	}
	return gone(s.flush())
}

func (s *streamer) write(frame string, flush bool) error {
	if _, err := s.w.Write([]byte(frame)); err != nil || !flush {
		return gone(err)
	}
	return gone(s.flush())
}

func gone(err error) error {
	if err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}

// reset closes the connection so that the client sees a TCP reset.
func reset(w http.ResponseWriter) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return errDrop // HTTP/2: net/http resets the stream
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
	return errDrop
}
