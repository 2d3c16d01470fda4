package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// meter is a native subscriber that counts what it sees of all jobs, and measures how old the deltas are that say when the
// simulated model sent them. It reads no more of an event than that.
type meter struct {
	mu        sync.Mutex
	jobs      map[string]int64 // subject → seq of the last event
	ended     int              // jobs that have
	completed int
	lost      int // events that did not come
	events    int
	deltas    int // upstream's chunks with text
	ages      []time.Duration
}

// meters everything of the tenant. The subscription ends with the connection.
func (p *product) meter() (*meter, error) {
	m := &meter{jobs: map[string]int64{}}
	sub, err := p.nats.Subscribe("completions."+tenant+".*", m.take)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = p.nats.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return m, nil
}

func (m *meter) take(msg *nats.Msg) {
	now := time.Now().UnixNano()
	kind, seq := completion.EventType(gjson.GetBytes(msg.Data, "type").Str), gjson.GetBytes(msg.Data, "seq").Int()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events++
	m.lost += int(seq - m.jobs[msg.Subject] - 1)
	m.jobs[msg.Subject] = seq
	switch {
	case kind == completion.EventDelta:
		stamps(msg.Data, func(sent int64) {
			m.deltas++
			if sent > 0 {
				m.ages = append(m.ages, time.Duration(now-sent))
			}
		})
	case kind.Final():
		delete(m.jobs, msg.Subject)
		m.ended++
		if kind == completion.EventCompleted {
			m.completed++
		}
	}
}

// stamps calls f for each chunk with text in a delta event, with when the simulated model sent it if it says so, in ns of
// Unix time, else 0.
func stamps(event []byte, f func(sent int64)) {
	gjson.GetBytes(event, "chunks").ForEach(func(_, chunk gjson.Result) bool {
		if text := chunk.Get("choices.0.delta.content").Str; text != "" {
			sent, _ := strconv.ParseInt(strings.TrimSuffix(text, " "), 10, 64)
			f(sent)
		}
		return true
	})
}

// reset forgets the ages and counts of deltas.
func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ages, m.deltas = nil, 0
}

// seen returns the ages and the count of deltas since reset.
func (m *meter) measured() ([]time.Duration, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ages, m.deltas
}

func (m *meter) ends() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended
}

// await waits until n jobs have ended.
func (m *meter) await(ctx context.Context, n int) error {
	ctx, stop := limited(ctx)
	defer stop()
	for m.ends() < n {
		if err := rest(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("wait for %d jobs, of which %d have ended: %w", n, m.ends(), err)
		}
	}
	return nil
}

// whole is an error if a job ended otherwise than completed, or an event did not come.
func (m *meter) whole() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.completed != m.ended || m.lost > 0 {
		return fmt.Errorf("%d of %d jobs completed, %d events lost", m.completed, m.ended, m.lost)
	}
	return nil
}

// chat is the body of a chat completion of a model.
func chat(model string) []byte {
	return fmt.Appendf(nil, `{"model":%q,"stream":true,"messages":[{"role":"user","content":"hello"}]}`, model)
}
