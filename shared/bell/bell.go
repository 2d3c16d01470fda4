// Package bell rings across processes over core NATS: "there is work in this lane", "stop this job", "look at this batch",
// "a turn of this conversation has ended" and, to viewers, "this conversation has changed". It promises speed, nothing else.
// A ring is not stored, not repeated and not acknowledged; one that nobody hears, or that is rung while the connection is
// down for long, is lost. Whoever listens must also look for itself from time to time: workers poll the queue, and learn of
// a cancel from the store when they next write; who looks after a batch or a conversation reads what has become of it.
package bell

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"sluice/shared/completion"
)

// maxPending bounds the rings that wait for one listener; more are dropped.
const maxPending = 64 << 10

// Bell rings and listens on one connection. It is safe for concurrent use.
type Bell struct{ nc *nats.Conn }

// New returns a Bell on nc, which stays the caller's to close.
func New(nc *nats.Conn) *Bell { return &Bell{nc: nc} }

// Wake tells every process that lane has work.
func (b *Bell) Wake(lane completion.Lane) { b.ring("wake." + string(lane)) }

// OnWake calls f whenever lane is rung, one call at a time, until stop. f must not block.
func (b *Bell) OnWake(lane completion.Lane, f func()) (stop func(), err error) {
	return b.on("wake."+string(lane), func(*nats.Msg) { f() })
}

// Cancel tells every process that the job shall stop.
func (b *Bell) Cancel(ref completion.Ref) { b.ring("cancel." + ref.Tenant + "." + ref.Job) }

// OnCancel calls f for every job that shall stop, one call at a time, until stop. f must not block.
func (b *Bell) OnCancel(f func(completion.Ref)) (stop func(), err error) {
	return b.on("cancel.*.*", func(m *nats.Msg) { f(refOf(m.Subject)) })
}

// Batch tells every process that those lines of the batch have ended or, without any, that something else about it has
// changed: it is new, or shall stop, pause or go on.
func (b *Bell) Batch(ref completion.Ref, lines ...int) {
	_ = b.nc.Publish("batch."+ref.Tenant+"."+ref.Job, encode(lines))
}

// OnBatch calls f for every ring of Batch, one call at a time, until stop. f must not block. A ring that makes no sense
// counts as one without lines.
func (b *Bell) OnBatch(f func(ref completion.Ref, lines []int)) (stop func(), err error) {
	return b.on("batch.*.*", func(m *nats.Msg) { f(refOf(m.Subject), decode(m.Data)) })
}

// Turn tells every process that a turn of the conversation has ended.
func (b *Bell) Turn(conversation completion.Ref) {
	b.ring("turn." + conversation.Tenant + "." + conversation.Job)
}

// OnTurn calls f for every ring of Turn, one call at a time, until stop. f must not block.
func (b *Bell) OnTurn(f func(conversation completion.Ref)) (stop func(), err error) {
	return b.on("turn.*.*", func(m *nats.Msg) { f(refOf(m.Subject)) })
}

// changed is what viewers of a conversation hear.
type changed struct {
	Type    string `json:"type"` // "changed"
	Version int64  `json:"version"`
}

// Changed tells viewers that the conversation has come to a version. It is rung on the conversation's subject, which no
// log keeps: who connects looks at the conversation first.
func (b *Bell) Changed(conversation completion.Ref, version int64) {
	data, _ := json.Marshal(changed{"changed", version}) // a struct of a string and a number
	_ = b.nc.Publish(conversation.Subject(), data)
}

// OnChanged calls f with each version that the conversation comes to, one call at a time, until stop. f must not block.
func (b *Bell) OnChanged(conversation completion.Ref, f func(version int64)) (stop func(), err error) {
	return b.on(conversation.Subject(), func(m *nats.Msg) {
		var c changed
		if json.Unmarshal(m.Data, &c) == nil {
			f(c.Version)
		}
	})
}

// refOf reads the last two tokens of a subject that has three.
func refOf(subject string) completion.Ref {
	_, rest, _ := strings.Cut(subject, ".")
	tenant, job, _ := strings.Cut(rest, ".")
	return completion.Ref{Tenant: tenant, Job: job}
}

// encode writes line numbers as they travel: decimal, with commas between them.
func encode(lines []int) []byte {
	var data []byte
	for i, n := range lines {
		if i > 0 {
			data = append(data, ',')
		}
		data = strconv.AppendInt(data, int64(n), 10)
	}
	return data
}

func decode(data []byte) []int {
	if len(data) == 0 {
		return nil
	}
	lines := make([]int, 0, 1+bytes.Count(data, []byte{','}))
	for text := range strings.SplitSeq(string(data), ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > completion.MaxBatchLines {
			return nil
		}
		lines = append(lines, n)
	}
	return lines
}

// ring drops the error on purpose: a ring that cannot be sent is one that nobody hears.
func (b *Bell) ring(subject string) { _ = b.nc.Publish(subject, nil) }

// on returns once the server knows of the subscription, so that no later ring is missed.
func (b *Bell) on(subject string, f func(*nats.Msg)) (stop func(), err error) {
	sub, err := b.nc.Subscribe(subject, f)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", subject, err)
	}
	stop = func() { _ = sub.Unsubscribe() } // fails only when the connection is closed, which stops it too
	if err := sub.SetPendingLimits(maxPending, -1); err != nil {
		stop()
		return nil, fmt.Errorf("listen on %s: %w", subject, err)
	}
	if b.nc.IsConnected() {
		if err := b.nc.Flush(); err != nil {
			stop()
			return nil, fmt.Errorf("listen on %s: %w", subject, err)
		}
	}
	return stop, nil
}
