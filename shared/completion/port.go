package completion

import (
	"context"
	"errors"
	"iter"
)

// What adapters answer when the domain, not the machine, says no. They are wrapped with the act; test with errors.Is.
var (
	ErrNotFound = errors.New("no such job")                          // also: another tenant's
	ErrFinal    = errors.New("job is in a final state")              // nothing more happens to it
	ErrHeld     = errors.New("another live worker runs the job")     // claim again later
	ErrStale    = errors.New("a later attempt has taken the job")    // I5: this attempt may no longer write
	ErrConflict = errors.New("idempotency key used for another job") // I7: same key, other body
	ErrKnown    = errors.New("the queue has the job already")        // enqueued before; nothing was changed

	ErrCancelled = errors.New("a cancel has been requested")           // the attempt must end as cancelled, not be retried
	ErrLogLost   = errors.New("the log lost the job's earlier events") // see Tail.Append
)

// Log is the event log: what has happened to a job, in order, for as long as the log keeps it.
type Log interface {
	// Read yields the records that the log has now, from the oldest one it has kept, and ends.
	Read(ctx context.Context, ref Ref) iter.Seq2[Record, error]
	// Open returns a Tail that appends to the job's log, after whatever is there. Any number may be open; only the one
	// that appended last can append again, the others get ErrStale (I5).
	Open(ctx context.Context, ref Ref) (Tail, error)
	// Follow yields the job's records with a seq above after, each once and in order, waiting for new ones, and ends
	// after the final one (I3). It ends with an error when ctx does or the log cannot be read. Leaving the loop frees
	// what it holds. A log that has begun anew (see Tail) yields a started or a final record after a jump.
	Follow(ctx context.Context, ref Ref, after int64) iter.Seq2[Record, error]
}

// Tail is one writer's hold on the end of a job's log. It is for one goroutine.
type Tail interface {
	// Last is the log's last record known to this tail; its Seq is 0 for an empty log.
	Last() Record
	// Append writes e after Last, giving it the next seq, and waits until the log has it. It tries again while the
	// outcome is unknown, until ctx ends. ErrStale: another tail has appended; nothing was written. ErrFinal: the log
	// ends with a final record. ErrLogLost: the log no longer has the record before (its server lost its data); nothing
	// was written, and the tail is ready to begin anew at the next seq: the caller appends a started event and then
	// restates what was said so far.
	Append(ctx context.Context, e Event) error
	// Offer begins to append e and returns at once. What Append would have answered is told to settled, once and from another
	// goroutine, which must not be held up; until then neither the tail nor what e holds is to be touched.
	Offer(ctx context.Context, e *Event, settled func(error))
}

// Queue holds tasks until a worker takes them.
type Queue interface {
	// Enqueue adds the task once: ErrKnown if the queue has the job already, in whatever shape.
	Enqueue(ctx context.Context, t Task) error
}
