package top

import (
	"fmt"
	"math"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// View is bubbletea's.
func (m Model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(colours), "\n"))
	v.AltScreen, v.WindowTitle = true, "sluice top"
	return v
}

// Below these heights the screen leaves parts out.
const (
	roomy = 16 // all of it
	low   = 11 // one line of rates, no heading over the lanes
	tiny  = 6  // neither rates nor keys
)

// screen is what is shown: no more lines than there is height for, none longer than the width.
func (m Model) screen(th theme) []string {
	if m.width < 1 || m.height < 1 {
		return nil
	}
	lines := append([]string{m.title(th)}, m.notices(th)...)
	bottom := []string(nil)
	if m.height > tiny {
		bottom = []string{ansi.Truncate(th.paint("q quit  ? help  p pause  tab next table  ↑↓ scroll  s sort  r reverse", faint), m.width, "…")}
	}
	switch {
	case m.help:
		lines = append(lines, m.helpLines(th)...)
	case m.seen == nil && m.lost == nil:
		lines = append(lines, "", "Looking …")
	case m.seen != nil:
		body := th
		if m.lost != nil && th != nil {
			body = old
		}
		lines = append(lines, m.overview(body)...)
		lines = append(lines, m.tables(body, m.height-len(lines)-len(bottom))...)
	}
	for len(lines) < m.height-len(bottom) {
		lines = append(lines, "")
	}
	return append(lines[:m.height-len(bottom)], bottom...)
}

// text is all that was seen, at whatever length.
func (m Model) text() string {
	lines := append([]string{m.title(nil)}, m.notices(nil)...)
	m.height = math.MaxInt
	lines = append(lines, m.overview(nil)...)
	for i, s := range m.sheets() {
		lines = append(lines, m.table(i, s, math.MaxInt, nil)...)
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

// title says what is looked at, and when.
func (m Model) title(th theme) string {
	right := ""
	switch {
	case m.look == nil && m.seen != nil:
		right = m.now.Format("2006-01-02 15:04:05 MST")
	case m.paused:
		right = "PAUSED, p goes on"
	case !m.now.IsZero():
		right = m.now.Format("15:04:05") + " every " + shortest(m.Every)
	}
	left := "sluice top  " + clean(m.Name)
	if m.seen != nil && m.width >= 60 {
		left += "  version " + clean(m.seen.System.Version)
	}
	room := m.width - ansi.StringWidth(right) - gap
	if room < 12 { // what it is matters more than when
		return ansi.Truncate(th.paint(left, strong), m.width, "…")
	}
	left = ansi.Truncate(left, room, "…")
	pad := strings.Repeat(" ", m.width-ansi.StringWidth(left)-ansi.StringWidth(right))
	return th.paint(left, strong) + pad + th.paint(right, map[bool]mood{false: faint, true: warn}[m.paused])
}

// shortest writes a time without parts that are zero.
func shortest(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// notices are what must not be missed.
func (m Model) notices(th theme) (lines []string) {
	add := func(text string, mo mood) {
		for line := range strings.SplitSeq(ansi.Wordwrap("! "+clean(text), m.width, ""), "\n") {
			lines = append(lines, ansi.Truncate(th.paint(line, mo), m.width, "…"))
		}
	}
	if m.lost != nil {
		text := fmt.Sprintf("No answer for %s: %s", ago(m.now.Sub(m.since)), m.Say(m.lost))
		if m.seen != nil {
			text += fmt.Sprintf(" The figures are from %s.", m.seenAt.Format("15:04:05"))
		}
		if left := m.next.Sub(m.now); !m.asking && left > 0 && !m.paused {
			text += fmt.Sprintf(" Looks again in %s.", ago(left+time.Second-1))
		}
		add(text, bad)
	}
	if m.seen == nil {
		return lines
	}
	if !m.seen.System.QueueReady {
		add("Redis is away: what waits and what was accepted is not known.", bad)
	}
	for _, w := range m.seen.System.Workers {
		if w.Alive {
			return lines
		}
	}
	add("No worker is alive: jobs wait until one starts.", bad)
	return lines
}

// overview is the rates and the lanes.
func (m Model) overview(th theme) (lines []string) {
	if m.height >= low {
		lines = append(lines, m.flow(th))
	}
	if m.height >= roomy {
		lines = append(lines, m.quality(th), m.rule("Lanes", "", false, th))
	}
	head, rows := lay(m.lanes(), m.seen.System.Lanes, sorting{}, m.width, th)
	return append(append(lines, head), rows...)
}

const (
	sparkMin = 6 // less says nothing
	sparkMax = 60
)

// flow is how much comes in and goes out.
func (m Model) flow(th theme) string {
	accepted, completed := func(s sample) float64 { return s.accepted }, func(s sample) float64 { return s.completed }
	now := m.history[len(m.history)-1]
	in, out := fmt.Sprintf("accepted %6s/s ", speed(now.accepted)), fmt.Sprintf("completed %6s/s ", speed(now.completed))
	width := min((m.width-ansi.StringWidth(in+out)-gap)/2, sparkMax)
	if width < sparkMin || len(m.history) < 2 {
		width = 0
	}
	most := m.history.most(accepted, completed)
	text := in + th.paint(m.history.spark(width, most, accepted), good) + strings.Repeat(" ", gap) +
		out + th.paint(m.history.spark(width, most, completed), good)
	return ansi.Truncate(text, m.width, "…")
}

// quality is how well it goes.
func (m Model) quality(th theme) string {
	r := m.seen.System.Rates.Minute
	tell := func(n int64, what string, mo mood) string {
		text := count(n) + " " + what
		if n == 0 {
			mo = plain
		}
		return th.paint(text, mo)
	}
	parts := []string{
		"last minute: " + speed(r.PerSecond) + " tokens/s", "first delta p50 " + seconds(r.FirstDelta.P50) + " p95 " + seconds(r.FirstDelta.P95),
		tell(r.Failed, "failed", bad), tell(r.Retried, "retried", warn), tell(r.Expired, "expired", warn), tell(r.Cancelled, "cancelled", plain),
	}
	return ansi.Truncate(strings.Join(parts, ", "), m.width, "…")
}

// rule is the line over a table.
func (m Model) rule(name, note string, focused bool, th theme) string {
	mark, mo := "── ", faint
	if focused {
		mark, mo = "━━ ", strong
	}
	end := " "
	if note != "" {
		end = " " + note + " "
	}
	text := mark + name + end
	if left := m.width - ansi.StringWidth(text); left > 0 {
		text += strings.Repeat(mark[:len("─")], left)
	}
	return th.paint(ansi.Truncate(text, m.width, "…"), mo)
}

func (m Model) helpLines(th theme) []string {
	var lines []string
	for _, row := range [][2]string{
		{"tab → ←", "the next table, the one before; 1 2 3: workers, upstreams, failures"},
		{"↑ ↓ PgUp PgDn", "scroll it; Home, End: to its start, its end"},
		{"s", "sort it by the next column; r the other way round"},
		{"p space", "pause, go on"},
		{"?", "this help; Esc leaves it"},
		{"q Ctrl-C", "leave; Ctrl-Z for a while"},
		{"", ""},
		{"accepted …", "jobs a second over the last minute; the line goes back 5 minutes at most"},
		{"OLDEST", "how long the one has waited that has waited longest"},
		{"RUNNING", "jobs that have a slot, of the slots of live workers"},
		{"RETRY", "jobs that were handed back and wait for their time"},
		{"DELTA p50 p95", "from submit to the first delta, in the last minute"},
		{"THROTTLE", "jobs that ask a limited upstream at once, that wait, and how long"},
		{"OPEN", "calls of an upstream that are under way"},
	} {
		lines = append(lines, ansi.Truncate(th.paint(fmt.Sprintf("  %-14s", row[0]), strong)+" "+row[1], m.width, "…"))
	}
	return append([]string{""}, lines...)
}
