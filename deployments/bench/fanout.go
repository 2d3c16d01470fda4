package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/shared/backend"
	"sluice/shared/client"
	"sluice/shared/credential"
)

const (
	// viewersEach is how many viewers a job has where there are many jobs.
	viewersEach = 10
	// watchedModel speaks for longer than anybody looks, once everybody has subscribed.
	watchedModel = "sim?stamp=1&first=1s&tps=%d&tokens=%d"
)

// fanOut measures how old a delta is at each of many viewers, of one job and of many, who all came over WebSocket, beside
// plain NATS messages at the same pace to the same viewers; and what a viewer costs.
func fanOut(ctx context.Context, s *site, r *Report) error {
	name := fmt.Sprintf("delta of 1 job at each of %d viewers over WebSocket", s.Viewers)
	many := s.Viewers * viewersEach
	why := s.lacks()
	if need := many + 500; why == "" && files() < need {
		why = fmt.Sprintf("needs %d open files for each process", need)
	}
	if why != "" {
		r.Rows = append(r.Rows, absent(name, why))
		return nil
	}
	c, err := s.install(ctx, setup{workers: []string{"SLUICE_INTERACTIVE_SLOTS=" + strconv.Itoa(min(s.Viewers, maxStreams))}})
	if err != nil {
		return err
	}
	defer c.leave()
	g, err := c.gather(ctx, s, many)
	if err != nil {
		return err
	}
	defer g.close()
	if err := g.measure(ctx, name, 1, s.Viewers, 30, r); err != nil {
		return err
	}
	if err := g.measure(ctx, fmt.Sprintf("delta of each of %d jobs at %d viewers each", s.Viewers, viewersEach), s.Viewers, viewersEach, 1, r); err != nil {
		return err
	}
	used, err := usageOf(c.natsProcess.PID())
	if err != nil {
		return err
	}
	sse, err := c.sseMemory(ctx, s)
	if err != nil {
		return err
	}
	r.Rows = append(r.Rows,
		plain("… memory of a viewer in nats-server", "kB", float64(used.memory-g.before)/1000/float64(many)),
		plain("… memory of a viewer over server-sent events in the api", "kB", sse))
	return nil
}

// gathering is many viewers, each with a connection of its own.
type gathering struct {
	*site
	c       *cluster
	viewers []*nats.Conn
	speaker *nats.Conn // publishes plain messages
	before  int64      // memory of nats-server without them

	mu   sync.Mutex
	ages []time.Duration
}

// gather connects n viewers with the tenant's credential.
func (c *cluster) gather(ctx context.Context, s *site, n int) (g *gathering, err error) {
	g = &gathering{site: s, c: c, viewers: make([]*nats.Conn, n)}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	used, err := usageOf(c.natsProcess.PID())
	if err != nil {
		return g, err
	}
	g.before = used.memory
	options, err := backend.NATS{Creds: filepath.Join(c.secrets, "api.creds")}.Options()
	if err != nil {
		return g, err
	}
	if g.speaker, err = nats.Connect(c.natsURL, options...); err != nil {
		return g, fmt.Errorf("connect to %s: %w", c.natsURL, err)
	}
	all, err := c.api.TenantCredential(ctx)
	if err != nil {
		return g, err
	}
	who := append(credential.Bearer(func() (string, error) { return all.Credential, nil }), nats.ReconnectBufSize(-1), nats.Timeout(sampleLimit))
	s.note("connect %d viewers", n)
	return g, crowd(ctx, n, askers, func(_ context.Context, i int) (err error) {
		if g.viewers[i], err = nats.Connect(c.websocketURL, who...); err != nil {
			return fmt.Errorf("connect to %s: %w", c.websocketURL, err)
		}
		return nil
	})
}

func (g *gathering) close() {
	for _, v := range append(g.viewers, g.speaker) {
		if v != nil {
			v.Close()
		}
	}
}

// measure has so many viewers of each of so many jobs look on for a window in each round.
func (g *gathering) measure(ctx context.Context, name string, jobs, each, rate int, r *Report) error {
	g.note("%s", name)
	var ours, plains series
	var spent []map[string]time.Duration
	var n []float64
	err := g.turns(ctx, g.Rounds,
		func(ctx context.Context) error {
			ages, used, err := g.hear(ctx, jobs, each, rate)
			ours, spent, n = append(ours, ages), append(spent, used), append(n, max(1, float64(len(ages))))
			return err
		},
		func(ctx context.Context) error {
			ages, err := g.hearPlain(ctx, jobs, each, rate)
			plains = append(plains, ages)
			return err
		})
	if err != nil {
		return err
	}
	r.Rows = append(r.Rows, compare(name+", p50", ours, plains, 0.50, 0), compare(name+", p99", ours, plains, 0.99, 0))
	r.Costs = append(r.Costs, cost("a "+name, spent, n))
	return nil
}

// hear has the viewers listen to jobs, and returns how old the deltas are that come within a window.
func (g *gathering) hear(ctx context.Context, jobs, each, rate int) (ages []time.Duration, used map[string]time.Duration, err error) {
	model := fmt.Sprintf(watchedModel, rate, rate*120)
	ids, err := g.c.submitAll(ctx, jobs, model)
	if err != nil {
		return nil, nil, err
	}
	subjects := make([]string, jobs)
	for i, id := range ids {
		subjects[i] = "completions." + tenant + "." + id
	}
	leave, err := g.listen(subjects, each)
	if err != nil {
		return nil, nil, err
	}
	err = g.c.going(ctx, jobs)
	if err == nil {
		err = rest(ctx, g.Settle)
	}
	if err == nil {
		used, err = g.c.spent(func() error {
			g.take()
			return rest(ctx, g.Window)
		})
	}
	ages = g.take()
	return ages, used, errors.Join(err, leave(), g.c.cancelAll(ctx, ids))
}

// hearPlain has them listen to messages that nobody stores, at the pace of jobs.
func (g *gathering) hearPlain(ctx context.Context, jobs, each, rate int) (ages []time.Duration, err error) {
	subjects := make([]string, jobs)
	for i := range subjects {
		subjects[i] = fmt.Sprintf("completions.%s.plain%d", tenant, i)
	}
	leave, err := g.listen(subjects, each)
	if err != nil {
		return nil, err
	}
	speaking, stop := context.WithTimeout(ctx, g.Settle/2+g.Window)
	defer stop()
	g.take()
	pause := time.Second / time.Duration(rate*jobs)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
			text := fmt.Appendf(nil, `{"type":"delta","seq":1,"attempt":1,"chunks":[{"choices":[{"index":0,"delta":{"content":"%d "}}]}]}`, time.Now().UnixNano())
			err = g.speaker.Publish(subjects[i%jobs], text)
		case <-speaking.Done():
			ages = g.take()
			return ages, errors.Join(leave(), context.Cause(ctx))
		}
		if err != nil {
			return nil, errors.Join(err, leave())
		}
	}
}

// take returns the ages so far and forgets them.
func (g *gathering) take() []time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	ages := g.ages
	g.ages = nil
	return ages
}

// listen subscribes so many viewers to each of the subjects.
func (g *gathering) listen(subjects []string, each int) (leave func() error, err error) {
	var all []*nats.Subscription
	leave = func() (err error) {
		for _, sub := range all {
			err = errors.Join(err, sub.Unsubscribe())
		}
		return err
	}
	for i := range len(subjects) * each {
		sub, err := g.viewers[i].Subscribe(subjects[i/each], func(m *nats.Msg) {
			now := time.Now().UnixNano()
			stamps(m.Data, func(sent int64) {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.ages = append(g.ages, time.Duration(now-sent))
			})
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("subscribe: %w", err), leave())
		}
		all = append(all, sub)
	}
	return leave, nil
}

// sseMemory is how much memory an api needs for a viewer over server-sent events, in kB.
func (c *cluster) sseMemory(ctx context.Context, s *site) (float64, error) {
	ids, err := c.submitAll(ctx, 1, fmt.Sprintf(watchedModel, 1, 120))
	if err != nil {
		return 0, err
	}
	before, err := usageOf(c.apiProcess.PID())
	if err != nil {
		return 0, err
	}
	looking, stop := context.WithCancel(ctx)
	defer stop()
	api, err := client.New(c.apiProcess.url, keepAlive())
	if err != nil {
		return 0, err
	}
	heard := make(chan struct{}, s.Viewers)
	var running sync.WaitGroup
	for range s.Viewers {
		running.Go(func() {
			first := true
			for _, err := range api.WithKey(c.chat.key).Follow(looking, ids[0], 0) {
				if first && err == nil {
					heard <- struct{}{}
					first = false
				}
			}
		})
	}
	limit, free := limited(ctx)
	defer free()
	for range s.Viewers {
		select {
		case <-heard:
		case <-limit.Done():
			stop()
			running.Wait()
			return 0, context.Cause(limit)
		}
	}
	err = rest(ctx, s.Settle)
	after, failed := usageOf(c.apiProcess.PID())
	stop()
	running.Wait()
	return float64(after.memory-before.memory) / 1000 / float64(s.Viewers), errors.Join(err, failed, c.cancelAll(ctx, ids))
}
