package top

import (
	"fmt"
	"math"

	"github.com/charmbracelet/x/ansi"
)

// above is how many lines a table has above its rows.
const above = 2

// tables are the sheets, in so many lines.
func (m Model) tables(th theme, height int) (lines []string) {
	sheets := m.sheets()
	var wants []int
	for _, s := range sheets {
		wants = append(wants, max(s.count, 1))
	}
	for i, rows := range share(height, wants, m.focus) {
		if rows > 0 {
			lines = append(lines, m.table(i, sheets[i], rows, th)...)
		}
	}
	return lines
}

// besideMost is how many rows a table has at most that has not the focus, where there is no room for all.
const besideMost = 5

// share says how many rows each table gets of a height: all that it wants, or else as many as the others, and the one that
// has the focus also what is left. Where there is no room for a row of each, that one is alone.
func share(height int, wants []int, focus int) []int {
	for _, each := range []int{math.MaxInt, besideMost, 4, 3, 2, 1} {
		rows, left := make([]int, len(wants)), height
		for i, want := range wants {
			rows[i] = min(want, each)
			left -= above + rows[i]
		}
		if left >= 0 {
			rows[focus] = min(wants[focus], rows[focus]+left)
			return rows
		}
	}
	alone := make([]int, len(wants))
	alone[focus] = max(min(wants[focus], height-above), 0)
	return alone
}

// table is a sheet with its heading and so many rows.
func (m Model) table(i int, s sheet, rows int, th theme) []string {
	head, all := s.lay(m.sort[i], m.width, th)
	first := max(min(m.top[i], s.count-rows), 0)
	last := first + min(rows, s.count-first)
	note := fmt.Sprintf("(%s)", count(s.count))
	if last-first < s.count {
		note = fmt.Sprintf("(%d–%d of %s)", first+1, last, count(s.count))
	}
	lines := []string{m.rule(s.name, note, i == m.focus && m.look != nil, th), head}
	if s.count == 0 {
		return append(lines[:1], ansi.Truncate(th.paint(s.none, faint), m.width, "…"))
	}
	return append(lines, all[first:last]...)
}
