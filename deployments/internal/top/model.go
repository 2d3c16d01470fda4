package top

import (
	"context"
	"errors"
	"net/http"
	"time"

	tea "charm.land/bubbletea/v2"

	"sluice/shared/client"
)

// Model is all that the view depends on. The zero value of what is not set by newModel has seen nothing.
type Model struct {
	Config
	look func(failures bool) tea.Msg // nil: never

	now           time.Time
	width, height int
	paused, help  bool
	focus         int        // index of the sheet that the keys mean
	sort          [3]sorting // of each sheet
	top           [3]int     // its first row that is shown

	seen     *Seen // what the latest look that succeeded found; nil: none has
	seenAt   time.Time
	history  history
	listedAt time.Time // when failures were read

	lost   error // why the latest look failed; nil: it did not
	since  time.Time
	tries  int // looks that failed since
	next   time.Time
	turn   int  // number of the timer that counts
	asking bool // a look is under way
	fatal  error
}

func newModel(c Config) Model { return Model{Config: c} }

// What a Model is told, beside keys and sizes.
type (
	clockMsg time.Time
	dueMsg   struct { // the timer of that turn has run out
		turn int
		at   time.Time
	}
	seenMsg struct {
		seen   Seen
		listed bool // failures were read too
		at     time.Time
	}
	lostMsg struct {
		err error
		at  time.Time
	}
)

const (
	tick        = time.Second // how often ages are shown anew
	listEvery   = 5 * time.Second
	firstWait   = 500 * time.Millisecond // after a look that failed, twice as long after each more
	longestWait = 15 * time.Second
)

// looker makes the looks of a program that lives as long as ctx.
func looker(ctx context.Context, s Source) func(bool) tea.Msg {
	return func(failures bool) tea.Msg {
		limited, cancel := context.WithTimeout(ctx, lookLimit)
		defer cancel()
		system, err := s.System(limited)
		var list []client.Failure
		if err == nil && failures {
			list, err = s.Failures(limited, failuresLimit)
		}
		if err != nil {
			return lostMsg{err, time.Now()}
		}
		return seenMsg{Seen{system, list}, failures, time.Now()}
	}
}

// Init is bubbletea's.
func (m Model) Init() tea.Cmd {
	return tea.Batch(clock(), func() tea.Msg { return dueMsg{0, time.Now()} })
}

func clock() tea.Cmd {
	return tea.Tick(tick, func(at time.Time) tea.Msg { return clockMsg(at) })
}

// Update is bubbletea's.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case clockMsg:
		m.now = time.Time(msg)
		return m, clock()
	case dueMsg:
		if msg.turn == m.turn {
			m.now = msg.at
			return m.ask()
		}
	case tea.ResumeMsg:
		m.turn++
		return m.ask()
	case seenMsg:
		m.asking = false
		if !msg.listed && m.seen != nil {
			msg.seen.Failures = m.seen.Failures
		}
		if msg.listed {
			m.listedAt = msg.at
		}
		m.take(msg.seen, msg.at)
		return m.wait(m.Every)
	case lostMsg:
		return m.lose(msg)
	case tea.KeyPressMsg:
		return m.press(msg.String())
	}
	return m, nil
}

// ask looks, unless that is under way or not wanted.
func (m Model) ask() (tea.Model, tea.Cmd) {
	if m.asking || m.paused || m.look == nil {
		return m, nil
	}
	m.asking = true
	look, failures := m.look, m.seen == nil || m.now.Sub(m.listedAt) >= listEvery
	return m, func() tea.Msg { return look(failures) }
}

// wait sets the timer of the next look; any that was set before counts no more.
func (m Model) wait(d time.Duration) (tea.Model, tea.Cmd) {
	m.turn++
	turn := m.turn
	m.next = m.now.Add(d)
	return m, tea.Tick(d, func(at time.Time) tea.Msg { return dueMsg{turn, at} })
}

func (m *Model) take(seen Seen, at time.Time) {
	m.now = at
	m.seen, m.seenAt = &seen, at
	m.history = m.history.add(sampleOf(seen.System, at))
	m.lost, m.tries = nil, 0
}

// lose notes that a look failed: the last figures stay. What no patience mends ends the program.
func (m Model) lose(msg lostMsg) (tea.Model, tea.Cmd) {
	m.asking, m.now = false, msg.at
	var refused *client.Error
	if errors.As(msg.err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
		m.fatal = msg.err
		return m, tea.Quit
	}
	if m.lost == nil {
		m.since = msg.at
	}
	m.lost = msg.err
	wait := min(firstWait<<min(m.tries, 10), longestWait)
	m.tries++
	return m.wait(max(wait, m.Every))
}

// press does what a key says.
func (m Model) press(key string) (tea.Model, tea.Cmd) {
	switch key {
	case "q", "ctrl+c", "ctrl+d":
		return m, tea.Quit
	case "ctrl+z":
		return m, tea.Suspend
	case "?", "h":
		m.help = !m.help
	case "esc":
		m.help = false
	case "p", "space":
		m.paused = !m.paused
		m.turn++
		return m.ask()
	case "tab", "right", "l":
		m.focus = (m.focus + 1) % len(m.top)
	case "shift+tab", "left":
		m.focus = (m.focus + len(m.top) - 1) % len(m.top)
	case "1", "2", "3":
		m.focus = int(key[0] - '1')
	case "s", "r", "up", "k", "down", "j", "pgup", "pgdown", "home", "g", "end", "G":
		m.turnTable(key)
	}
	return m, nil
}

// turnTable sorts or scrolls the sheet that has the focus.
func (m *Model) turnTable(key string) {
	if m.seen == nil {
		return
	}
	sheet, by, top := m.sheets()[m.focus], &m.sort[m.focus], &m.top[m.focus]
	const page = 10
	switch key {
	case "s":
		*by = sorting{column: (by.column + 1) % (sheet.wide + 1)}
	case "r":
		by.reverse = !by.reverse
	case "up", "k":
		*top--
	case "down", "j":
		*top++
	case "pgup":
		*top -= page
	case "pgdown":
		*top += page
	case "home", "g":
		*top = 0
	case "end", "G":
		*top = sheet.count
	}
	*top = max(min(*top, sheet.count-1), 0)
}
