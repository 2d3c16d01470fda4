package top

import "charm.land/lipgloss/v2"

// mood is what a text says beside its words. No mood says what the words do not: some see no colours, some terminals have
// none.
type mood int

const (
	plain mood = iota
	faint
	strong
	good
	warn
	bad
)

// theme is how moods look; nil: none can be seen.
type theme map[mood]lipgloss.Style

// colours are those of Okabe and Ito, which everybody can tell apart, as far as 256 colours have them; all can be read on
// black and on white.
var colours = theme{
	faint:  lipgloss.NewStyle().Faint(true),
	strong: lipgloss.NewStyle().Bold(true),
	good:   lipgloss.NewStyle().Foreground(lipgloss.Color("32")),
	warn:   lipgloss.NewStyle().Foreground(lipgloss.Color("172")),
	bad:    lipgloss.NewStyle().Foreground(lipgloss.Color("166")).Bold(true),
}

// old is how everything looks while it is not from now.
var old = theme{faint: colours[faint], plain: colours[faint], strong: colours[faint], good: colours[faint], warn: colours[faint], bad: colours[faint]}

func (t theme) paint(text string, m mood) string {
	style, ok := t[m]
	if !ok || text == "" {
		return text
	}
	return style.Render(text)
}
