package generate

import (
	"context"
	"sync"

	"sluice/shared/completion"
)

// running is the set of jobs that this worker runs now.
type running struct {
	mu   sync.Mutex
	jobs map[completion.Ref]context.CancelCauseFunc
}

// begin registers ref and returns the context of its attempt; ok is false if ref runs here already.
func (r *running) begin(ctx context.Context, ref completion.Ref) (attempt context.Context, end func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, busy := r.jobs[ref]; busy {
		return nil, nil, false
	}
	if r.jobs == nil {
		r.jobs = map[completion.Ref]context.CancelCauseFunc{}
	}
	attempt, cancel := context.WithCancelCause(ctx)
	r.jobs[ref] = cancel
	return attempt, func() {
		r.mu.Lock()
		delete(r.jobs, ref)
		r.mu.Unlock()
		cancel(nil)
	}, true
}

// stop ends the attempt of ref with cause, if ref runs here.
func (r *running) stop(ref completion.Ref, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel, ok := r.jobs[ref]; ok {
		cancel(cause)
	}
}

// count is how many jobs run here now.
func (r *running) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs)
}
