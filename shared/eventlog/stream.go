package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"sluice/shared/completion"
)

// Read yields what JetStream has of the job; see completion.Log. It tries until ctx ends while JetStream is away.
func (l *Log) Read(ctx context.Context, ref completion.Ref) iter.Seq2[completion.Record, error] {
	return func(yield func(completion.Record, error) bool) {
		p, err := locate(ref)
		if err == nil {
			more := true
			err = l.read(ctx, p, 0, func(e entry) bool {
				more = yield(e.Record, nil)
				return more
			})
			if !more {
				return
			}
		}
		if err != nil {
			yield(completion.Record{}, fmt.Errorf("read log of %s: %w", ref.Job, err))
		}
	}
}

// stream is the past as JetStream has it, completed by the store.
type stream struct {
	log   *Log
	ref   completion.Ref
	place place
	pos   uint64 // of the latest record read; 0: none

	mended bool // the store had the end, the log did not
}

// grace is how long after a job's end its worker may still be about to append the final event itself.
const grace = time.Second

func (s *stream) catchUp(ctx context.Context, m *merge, why reason) error {
	news := true
	if why == silence || why == doubt {
		end, err := s.log.last(ctx, s.place)
		if err != nil {
			return err
		}
		news = end.Seq > m.last || end.Type.Final()
	}
	if news {
		if err := s.read(ctx, m); err != nil || m.done() {
			return err
		}
	}
	if why == first || why == silence {
		return s.fallBack(ctx, m)
	}
	return nil
}

// read starts where it ended the time before. Not finding that place again means that the log was rewound, or that the
// place was a viewer's invention; it then starts over, once.
func (s *stream) read(ctx context.Context, m *merge) error {
	for {
		from, lost := s.pos, s.pos > 0
		err := s.log.read(ctx, s.place, max(from, 1)-1, func(e entry) bool {
			if lost = lost && (e.pos != from || e.Seq > m.last); lost {
				return false
			}
			s.pos = e.pos
			return m.add(e.Record)
		})
		if err != nil || !lost {
			return err
		}
		s.pos = 0
	}
}

// fallBack asks the store whether the log's end is missing. A log that still has something gets the final event appended;
// one that has nothing is left alone, and the viewer alone gets the event. completion.ErrNotFound: neither the store nor the log
// has anything; it was pruned, or never was.
func (s *stream) fallBack(ctx context.Context, m *merge) error {
	if s.log.opts.Fallback == nil {
		return nil
	}
	ending, err := s.log.opts.Fallback(ctx, s.ref)
	if errors.Is(err, completion.ErrNotFound) {
		return s.gone(ctx, err)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.log.opts.Log.Debug("ask the store for the end of a log", "job_id", s.ref.Job, "tenant", s.ref.Tenant, "error", err)
		}
		return nil
	}
	if !ending.Ended() {
		return nil
	}
	end, err := s.log.last(ctx, s.place)
	if err != nil {
		return err
	}
	if end.pos == 0 {
		s.mended = true
		return synthesize(ending.Final, m)
	}
	if wait := grace - time.Since(ending.Final.At); wait > 0 && wait <= grace && !end.Type.Final() {
		m.soon = true
		return nil
	}
	s.mended = true
	if err := s.log.close(ctx, ending); err != nil {
		return err
	}
	return s.read(ctx, m)
}

// gone ends the reading of what the store no longer has, unless the log still has something of it: all, or what can be read
// until it expires.
func (s *stream) gone(ctx context.Context, why error) error {
	end, err := s.log.last(ctx, s.place)
	if err != nil || end.pos > 0 {
		return err
	}
	return why
}

func synthesize(e completion.Event, m *merge) error {
	e.Seq = m.last + 1
	data, err := e.Encode()
	if err != nil {
		return err
	}
	m.add(completion.Record{Seq: e.Seq, Attempt: e.Attempt, Type: e.Type, Data: data})
	return nil
}
