package e2e_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/eventlog"
	"sluice/shared/modelsim"
)

// script is what a job's upstream does, and how the job must end.
type script struct {
	directives string
	weight     int
	state      completion.State
	text       string // the whole answer; empty: only its beginning is known
	cancel     bool   // somebody cancels it in mid-stream
	fails      int    // so many attempts fail by what the upstream does
	repeats    bool   // the transport may ask again without an attempt
}

// sixty is the answer of the scripts with 60 tokens.
var sixty = modelsim.AnswerOf(60, prompt)

var scripts = []script{
	{directives: "tps=100&tokens=60", weight: 10, state: completion.Completed, text: sixty},
	{directives: "tps=30&tokens=60", weight: 5, state: completion.Completed, text: sixty},
	{directives: "tps=15&tokens=60", weight: 4, state: completion.Completed, text: sixty},
	{directives: "tps=0&tokens=60", weight: 3, state: completion.Completed, text: sixty},
	{directives: "tps=0&big=300000", weight: 2, state: completion.Completed, text: strings.Repeat("x", 300_000)},
	{directives: "tps=100&tokens=60&cut=30&times=2", weight: 1, state: completion.Completed, text: sixty, fails: 2},
	{directives: "tps=100&tokens=60&stall=30&times=1", weight: 1, state: completion.Completed, text: sixty, fails: 1},
	{directives: "tps=100&tokens=60&reset=30&times=1", weight: 1, state: completion.Completed, text: sixty, fails: 1},
	{directives: "tps=100&tokens=60&reset=0&times=1", weight: 1, state: completion.Completed, text: sixty, fails: 1, repeats: true},
	{directives: "tps=100&tokens=60&garbage=20&times=1", weight: 1, state: completion.Completed, text: sixty, fails: 1},
	{directives: "tps=100&tokens=60&fail=429&retry_after=1&times=1", weight: 1, state: completion.Completed, text: sixty, fails: 1},
	{directives: "tps=100&tokens=60&fail=500&times=2", weight: 1, state: completion.Completed, text: sixty, fails: 2},
	{directives: "tps=100&tokens=60&fail=503&times=1", weight: 1, state: completion.Completed, text: sixty, fails: 1},
	{directives: "fail=400", weight: 1, state: completion.Failed},
	{directives: "tps=50&tokens=100000", weight: 1, state: completion.Cancelled, cancel: true},
}

// pick draws a script by weight.
func pick() script {
	total := 0
	for _, s := range scripts {
		total += s.weight
	}
	n := rand.N(total)
	for _, s := range scripts {
		if n -= s.weight; n < 0 {
			return s
		}
	}
	panic("unreachable")
}

// errand is one job and what became of it.
type errand struct {
	script
	key      string
	job      client.Job
	twin     string    // id of the job that the same key got at the same time from the other api; empty: not tried
	accepted time.Time // when the answer came
	ended    time.Time
	views    []*view
}

// load keeps jobs running.
type load struct {
	in    *ruin
	began time.Time
	most  int

	mu      sync.Mutex
	errands []*errand
	done    int
}

// run does errands until struck is closed and there are enough of them.
func (l *load) run(ctx context.Context, struck <-chan struct{}) {
	for ctx.Err() == nil {
		e := l.begin(struck)
		if e == nil {
			return
		}
		e.submit(ctx, l.in)
		e.watch(ctx, l.in)
		l.mu.Lock()
		e.ended = time.Now()
		l.done++
		l.mu.Unlock()
	}
}

func (l *load) begin(struck <-chan struct{}) *errand {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-struck:
		if len(l.errands) >= *faultJobs {
			return nil
		}
	default:
	}
	e := &errand{script: pick(), key: fmt.Sprintf("f%d", len(l.errands))}
	l.errands = append(l.errands, e)
	return e
}

// progress is for people.
func (l *load) progress() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%5.1f s, %d of %d jobs done", time.Since(l.began).Seconds(), l.done, max(len(l.errands), *faultJobs))
}

// submit hands the job in until an api accepts it; every eighth time through both apis at once.
func (e *errand) submit(ctx context.Context, in *ruin) {
	lane := completion.Lanes[rand.N(len(completion.Lanes))]
	hand := func(c *client.Client) (client.Job, error) {
		return c.Submit(ctx, client.Submission{Request: chat("sim?" + e.directives + "&key=" + e.key), Lane: lane, Key: e.key})
	}
	var both sync.WaitGroup
	if rand.N(8) == 0 {
		both.Go(func() {
			if twin, err := hand(in.api()); err == nil {
				e.twin = twin.ID
			}
		})
	}
	for ctx.Err() == nil {
		job, err := hand(in.api())
		if err == nil {
			e.job, e.accepted = job, time.Now()
			break
		}
		pause(ctx, 100*time.Millisecond)
	}
	both.Wait()
}

// watch has three viewers follow the job to its end: an early one, one of another kind that comes later, and one after the
// end.
func (e *errand) watch(ctx context.Context, in *ruin) {
	late := time.Duration(rand.N(1500)) * time.Millisecond
	e.views = []*view{{kind: rand.N(kinds)}, {kind: rand.N(kinds)}, {kind: rand.N(kinds)}}
	var viewers sync.WaitGroup
	viewers.Go(func() { e.views[0].follow(ctx, in, e.job) })
	viewers.Go(func() {
		pause(ctx, late)
		e.views[1].follow(ctx, in, e.job)
	})
	if e.cancel {
		pause(ctx, late)
		for ctx.Err() == nil {
			if _, err := in.api().Cancel(ctx, e.job.ID); err == nil {
				break
			}
			pause(ctx, 100*time.Millisecond)
		}
	}
	viewers.Wait()
	e.views[2].follow(ctx, in, e.job)
}

// lookBack has viewers come to jobs long after their end, when the log may have discarded them.
func (l *load) lookBack(ctx context.Context) {
	for i, e := range l.errands {
		if e.job.ID == "" || i%(1+len(l.errands)/200) != 0 {
			continue
		}
		v := &view{kind: i % kinds}
		v.follow(ctx, l.in, e.job)
		e.views = append(e.views, v)
	}
}

// The kinds of viewers.
const (
	overTCP = iota
	overWebSocket
	overSSE
	leaving // native; leaves after some events and comes back where it left
	slow    // native; takes its time for each event
	leavingSSE
	kinds
)

// view is what one viewer saw.
type view struct {
	kind   int
	events []completion.Event
	seen   []time.Time // when each came
}

// follow sees the job to its end, and comes back whenever it breaks.
func (v *view) follow(ctx context.Context, in *ruin, job client.Job) {
	after := int64(0)
	for ctx.Err() == nil {
		n := 0
		for e, err := range v.source(ctx, in, job, after) {
			if err != nil {
				break
			}
			v.events, v.seen = append(v.events, e), append(v.seen, time.Now())
			if after = e.Seq; e.Type.Final() {
				return
			}
			if v.kind == slow {
				pause(ctx, 10*time.Millisecond)
			}
			if n++; n == 9 && (v.kind == leaving || v.kind == leavingSSE) {
				break
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func (v *view) source(ctx context.Context, in *ruin, job client.Job, after int64) iter.Seq2[completion.Event, error] {
	ref := completion.Ref{Tenant: strings.Split(job.Subject, ".")[1], Job: job.ID}
	switch v.kind {
	case overSSE, leavingSSE:
		return in.api().Follow(ctx, job.ID, after)
	case overWebSocket:
		return decoded(eventlog.View(ctx, in.ws, ref, after))
	default:
		return decoded(eventlog.View(ctx, in.tcp, ref, after))
	}
}

// pause waits, for what a person or a client would wait.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
