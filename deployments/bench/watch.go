package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// watcher is a native subscriber to all jobs of the tenant. It subscribes before anything is submitted, so that it is
// the system's time that is measured and not how fast the submitter reads the answer and subscribes.
type watcher struct {
	*product

	mu   sync.Mutex
	jobs map[string]*sighting
	seen []sighting // of finished samples
}

// sighting is what was seen of one job, and when.
type sighting struct {
	id      string
	sent    time.Time // the request was about to be sent
	started time.Time // the worker made the started event
	delta   time.Time // the worker made the first event with text
	arrived time.Time // it came in here
	text    chan struct{}
}

// tenant is that of the all-in-one by default.
const tenant = "local"

// watch subscribes. The subscription ends with the product's connection.
func watch(p *product) (*watcher, error) {
	w := &watcher{product: p, jobs: map[string]*sighting{}}
	_, err := p.nats.Subscribe("completions."+tenant+".*", w.take)
	if err == nil {
		err = p.nats.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return w, nil
}

func refOf(job client.Job) completion.Ref { return completion.Ref{Tenant: tenant, Job: job.ID} }

// of returns the sighting of a job; the first event may be here before the submitter knows the job's id.
func (w *watcher) of(id string) *sighting {
	if w.jobs[id] == nil {
		w.jobs[id] = &sighting{id: id, text: make(chan struct{})}
	}
	return w.jobs[id]
}

func (w *watcher) take(m *nats.Msg) {
	now := time.Now()
	ref := completion.Ref{Tenant: tenant, Job: m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]}
	if ref.IsBatch() {
		return
	}
	e, err := completion.Record{Data: m.Data}.Event()
	if err != nil {
		return // the sample then ends at its limit
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.of(ref.Job)
	switch {
	case e.Type == completion.EventStarted:
		s.started = e.At
	case s.arrived.IsZero() && tells(e):
		s.delta, s.arrived = e.At, now
		close(s.text)
	}
}

// sample is the time until the first text.
func (w *watcher) sample(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	job, err := w.submit(ctx)
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	s := w.of(job.ID)
	w.mu.Unlock()
	select {
	case <-s.text:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.sent = began
	w.seen = append(w.seen, *s)
	return s.arrived.Sub(began), nil
}

// stages says where the time of the samples went, by the times that the product itself gives for its events and jobs.
// The stages follow on each other.
func (w *watcher) stages(ctx context.Context) ([]Stage, error) {
	names := []string{
		"HTTP request, validation", "insert, enqueue, wake-up, dequeue", "claim", "upstream's first chunk",
		"events before it published", "first text: publish, store, deliver",
	}
	took := make([][]time.Duration, len(names))
	for _, s := range w.seen {
		job, err := w.api.Get(ctx, s.id)
		if err != nil {
			return nil, err
		}
		moments := []time.Time{s.sent, job.CreatedAt, job.StartedAt, s.started, job.FirstTokenAt, s.delta, s.arrived}
		for i := range names {
			took[i] = append(took[i], max(0, moments[i+1].Round(0).Sub(moments[i].Round(0)))) // by the wall clock, as the product's
		}
	}
	stages := make([]Stage, len(names))
	for i, name := range names {
		stages[i] = Stage{name, milliseconds(percentile(took[i], 0.5)), milliseconds(percentile(took[i], 0.99))}
	}
	return stages, nil
}
