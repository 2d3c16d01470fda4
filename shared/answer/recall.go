package answer

import (
	"fmt"
	"iter"
	"time"

	"sluice/shared/completion"
)

// Recalled is what a job's log remembers of its latest attempt.
type Recalled struct {
	Answer   Answer
	Attempt  int
	Upstream string            // the name of the one that was asked
	First    time.Time         // when the first chunk came
	Ended    *completion.Event // the storing event, if it got so far
}

// Recall folds the records of a job's log, from the oldest on, to the latest attempt's answer. ok is false if the log
// does not have that attempt from its start: it is empty, or it has discarded what was said. A storing event with a
// result needs nothing before it.
func Recall(records iter.Seq2[completion.Record, error]) (r *Recalled, ok bool, err error) {
	last := int64(0)
	for record, err := range records {
		if err != nil {
			return nil, false, err
		}
		switch {
		case record.Type == completion.EventStarted:
			r = &Recalled{Attempt: record.Attempt}
		case r == nil || record.Seq != last+1 || record.Attempt != r.Attempt && record.Type != completion.EventStoring:
			r = nil
		}
		if r == nil && record.Type == completion.EventStoring {
			r = kept(record)
		}
		if r != nil {
			if err := r.add(record); err != nil {
				return nil, false, err
			}
		}
		last = record.Seq
	}
	return r, r != nil, nil
}

// kept begins with a storing event, if that has the whole result.
func kept(record completion.Record) *Recalled {
	if e, err := record.Event(); err != nil || len(e.Result) == 0 {
		return nil
	}
	return &Recalled{Attempt: record.Attempt}
}

func (r *Recalled) add(record completion.Record) error {
	e, err := record.Event()
	if err != nil {
		return err
	}
	switch e.Type {
	case completion.EventStarted:
		r.Upstream = e.Upstream
	case completion.EventStoring: // of this attempt, or of whoever ended it in its place
		r.Ended = &e
	}
	for _, chunk := range e.Chunks {
		if _, err := r.Answer.Add(chunk); err != nil {
			return fmt.Errorf("recall event %d: %w", e.Seq, err)
		}
		if r.First.IsZero() {
			r.First = e.At
		}
	}
	return nil
}
