// Package tally tells whoever looks after a batch which of its lines have ended, many in one ring. A ring is a hint: one
// that gets lost is made up for by looking into the store.
package tally

import (
	"sync"
	"time"

	"sluice/shared/completion"
)

const (
	// delay is how long a line's end may wait for others.
	delay = 20 * time.Millisecond
	// most is how many lines one ring names, of at most 8 bytes each.
	most = 1000
)

// Ring tells of lines that have ended. It must not block.
type Ring func(batch completion.Ref, lines ...int)

// Tally collects lines, by batch. It is safe for concurrent use.
type Tally struct {
	ring Ring

	mu    sync.Mutex
	lines map[completion.Ref][]int
}

// New returns an empty tally.
func New(ring Ring) *Tally { return &Tally{ring: ring, lines: map[completion.Ref][]int{}} }

// Add notes that a job has ended. One that is no line is none of the tally's business.
func (t *Tally) Add(job completion.Job) {
	if job.Batch == "" {
		return
	}
	batch := completion.Ref{Tenant: job.Tenant, Job: job.Batch}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines[batch]) == 0 {
		time.AfterFunc(delay, func() { t.flush(batch) })
	}
	t.lines[batch] = append(t.lines[batch], job.Line)
	if len(t.lines[batch]) == most {
		t.tell(batch)
	}
}

// Flush tells of all that has been collected.
func (t *Tally) Flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for batch := range t.lines {
		t.tell(batch)
	}
}

func (t *Tally) flush(batch completion.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(batch)
}

// tell rings for a batch; the caller holds mu.
func (t *Tally) tell(batch completion.Ref) {
	if lines := t.lines[batch]; len(lines) > 0 {
		t.ring(batch, lines...)
	}
	delete(t.lines, batch)
}
