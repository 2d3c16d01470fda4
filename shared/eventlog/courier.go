package eventlog

import (
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// courier has the records of many tails stored and hands them the answers. A request of the library costs a timer, a channel and
// two changes of goroutines; thousands of streams say something many times a second.
type courier struct {
	nc *nats.Conn

	mu      sync.Mutex
	inbox   string // what the subjects of answers begin with; empty before the first message
	last    uint64 // number of the last parcel
	open    map[uint64]parcel
	sending bool     // somebody sends what is waiting, and has the letter
	waiting []parcel // not sent yet
	sent    []parcel // what was waiting before, for its memory; of who sends
	letter  *nats.Msg
	round   *time.Timer
}

// parcel is a record to be stored.
type parcel struct {
	number  uint64
	subject string
	pos     uint64 // of the subject's last record, or 0
	data    []byte
	to      addressee
	late    time.Time // when an answer will come no more
}

// addressee is told once what became of a message. It must not block.
type addressee interface {
	answered(m *nats.Msg, err error)
}

// roundTime is how often the courier looks for messages that stay unanswered.
const roundTime = 250 * time.Millisecond

// send has p sent, and returns at once, even if the connection takes nothing more.
func (c *courier) send(p parcel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.begin(); err != nil {
		go p.to.answered(nil, err)
		return
	}
	c.last++
	p.number, p.late = c.last, time.Now().Add(patience(0))
	c.open[p.number] = p
	if len(c.open) == 1 {
		c.round.Reset(roundTime)
	}
	c.waiting = append(c.waiting, p)
	if !c.sending {
		c.sending = true
		go c.sendWaiting()
	}
}

// begin listens for answers.
func (c *courier) begin() error {
	if c.inbox != "" {
		return nil
	}
	c.inbox = c.nc.NewInbox() + "."
	sub, err := c.nc.Subscribe(c.inbox+"*", c.receive)
	if err != nil {
		c.inbox = ""
		return err
	}
	_ = sub.SetPendingLimits(-1, -1) // fails only for another kind of subscription; there is at most one answer for each message
	c.open, c.letter = map[uint64]parcel{}, &nats.Msg{Header: nats.Header{expectation: []string{""}}}
	c.round = time.AfterFunc(roundTime, c.giveUp)
	return nil
}

// sendWaiting sends until nothing is waiting. Whoever else is about to say something does so first: then all of that goes out
// together, in one write, and so do the answers.
func (c *courier) sendWaiting() {
	for {
		runtime.Gosched()
		c.mu.Lock()
		batch := c.waiting
		c.waiting, c.sent = c.sent[:0], batch
		c.sending = len(batch) > 0
		c.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, p := range batch {
			c.publish(p)
		}
	}
}

func (c *courier) publish(p parcel) {
	c.letter.Subject, c.letter.Reply, c.letter.Data = p.subject, c.inbox+strconv.FormatUint(p.number, 36), p.data
	c.letter.Header[expectation][0] = strconv.FormatUint(p.pos, 10)
	if err := c.nc.PublishMsg(c.letter); err != nil {
		if p, ok := c.take(p.number); ok {
			go p.to.answered(nil, err)
		}
	}
}

func (c *courier) receive(m *nats.Msg) {
	number, _ := strconv.ParseUint(m.Subject[len(c.inbox):], 36, 64) // 0 is nobody's
	p, ok := c.take(number)
	switch {
	case !ok: // it was given up
	case len(m.Data) == 0 && m.Header.Get("Status") == "503":
		p.to.answered(nil, nats.ErrNoResponders)
	default:
		p.to.answered(m, nil)
	}
}

// take returns an open parcel, once.
func (c *courier) take(number uint64) (parcel, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.open[number]
	delete(c.open, number)
	return p, ok
}

// giveUp tells those whose answer is late. It goes on for as long as anything is open.
func (c *courier) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for number, p := range c.open {
		if now.After(p.late) {
			delete(c.open, number)
			go p.to.answered(nil, errUnanswered)
		}
	}
	if len(c.open) > 0 {
		c.round.Reset(roundTime)
	}
}
