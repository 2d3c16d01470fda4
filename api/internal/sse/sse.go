// Package sse writes server-sent events (WHATWG HTML, section 9.2). A stream's headers are sent with its first event or
// heartbeat, so that a stream with nothing to say can still answer 204, which tells an EventSource not to come back.
// Every write has a deadline of its own: that is how a client that does not read is found.
package sse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// ErrStopping is the cause that ends the streams of a server that stops.
var ErrStopping = errors.New("server is stopping")

// Stream is one client's event stream. Send and Beat may be used at the same time.
type Stream struct {
	heartbeat time.Duration
	limit     time.Duration

	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
	buf     bytes.Buffer
}

// New returns a stream on w with a comment every heartbeat; a write that takes longer than limit ends it.
func New(w http.ResponseWriter, heartbeat, limit time.Duration) *Stream {
	return &Stream{heartbeat: heartbeat, limit: limit, w: w, control: http.NewResponseController(w)}
}

// Send writes one event; id and name may be empty. data must not hold a line feed, which JSON never needs.
func (s *Stream) Send(id, name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
	for _, f := range []struct{ name, value string }{{"id", id}, {"event", name}} {
		if f.value != "" {
			fmt.Fprintf(&s.buf, "%s: %s\n", f.name, f.value)
		}
	}
	s.buf.WriteString("data: ")
	s.buf.Write(data)
	s.buf.WriteString("\n\n")
	return s.flush()
}

// Beat writes a comment every heartbeat until ctx ends; when one cannot be written it calls fail and returns.
func (s *Stream) Beat(ctx context.Context, fail context.CancelCauseFunc) {
	tick := time.NewTicker(s.heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.comment(); err != nil {
			fail(err)
			return
		}
	}
}

func (s *Stream) comment() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
	s.buf.WriteString(": keep-alive\n\n")
	return s.flush()
}

// Open sends the headers at once, for a stream that may have nothing to say for long.
func (s *Stream) Open() error { return s.comment() }

// Begun reports whether anything was written, and with it the headers.
func (s *Stream) Begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// End closes the stream: with 204 if nothing was ever written. The connection may be used again.
func (s *Stream) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.w.WriteHeader(http.StatusNoContent)
		return
	}
	_ = s.control.SetWriteDeadline(time.Time{}) // a connection that is gone needs none
}

// flush writes buf. The caller holds mu.
func (s *Stream) flush() error {
	if !s.begun {
		s.begun = true
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(s.limit)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("flush event: %w", err)
	}
	return nil
}
