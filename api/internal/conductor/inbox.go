package conductor

import (
	"sync"

	"sluice/shared/completion"
)

// maxRung bounds the rings that wait for a batch's goroutine. When more come it looks for itself instead.
const maxRung = 16 << 10

// inbox is what others tell a batch's goroutine.
type inbox struct {
	bell chan struct{} // holds one element while there is something

	mu   sync.Mutex
	mail mail
}

// mail is what has come since the inbox was emptied.
type mail struct {
	lines []int // that ended
	look  bool  // more lines ended than were noted
	row   bool  // the batch's row may have changed
	stand *stand
}

// stand is where a batch stands, as its row says.
type stand struct {
	state  completion.BatchState
	paused bool
}

func newInbox() *inbox { return &inbox{bell: make(chan struct{}, 1)} }

// ring takes note of a ring of the batch.
func (i *inbox) ring(lines []int) {
	i.put(func(m *mail) {
		switch {
		case len(lines) == 0:
			m.row = true
		case len(m.lines)+len(lines) > maxRung:
			m.look = true
		default:
			m.lines = append(m.lines, lines...)
		}
	})
}

// stands takes note of where the batch's row says that it stands.
func (i *inbox) stands(state completion.BatchState, paused bool) {
	i.put(func(m *mail) { m.stand = &stand{state, paused} })
}

func (i *inbox) put(note func(*mail)) {
	i.mu.Lock()
	note(&i.mail)
	i.mu.Unlock()
	signal(i.bell)
}

// empty returns what has come.
func (i *inbox) empty() mail {
	i.mu.Lock()
	defer i.mu.Unlock()
	m := i.mail
	i.mail = mail{}
	return m
}
