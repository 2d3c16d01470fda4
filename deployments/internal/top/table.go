package top

import (
	"cmp"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// cell is what stands in a table.
type cell struct {
	text string
	mood mood
}

// column of a table of T.
type column[T any] struct {
	head  string
	right bool
	keep  int  // where it is narrow, the columns with the least are left out
	wide  bool // it is cut before others are left out
	show  func(T) cell
	order func(a, b T) int // the greatest first; nil: by its text, from a to z
}

// sorting is how a table is sorted.
type sorting struct {
	column  int // its number from 1; 0: as the server has it
	reverse bool
}

const (
	gap     = 2  // between columns
	wideMin = 20 // what is left at least of a wide column
)

// lay is a table's head and rows, no longer than width.
func lay[T any](columns []column[T], items []T, by sorting, width int, th theme) (head string, rows []string) {
	items = sorted(columns, items, by)
	heads := make([]cell, len(columns))
	widths := make([]int, len(columns))
	cells := make([][]cell, len(items))
	for c, col := range columns {
		heads[c] = cell{col.head, faint}
		if by.column == c+1 {
			heads[c] = cell{col.head + map[bool]string{true: "↑", false: "↓"}[(col.order == nil) != by.reverse], strong}
		}
		widths[c] = ansi.StringWidth(heads[c].text)
		for i, item := range items {
			shown := col.show(item)
			shown.text = clean(shown.text)
			cells[i] = append(cells[i], shown)
			widths[c] = max(widths[c], ansi.StringWidth(shown.text))
		}
	}
	shown := fit(columns, widths, width)
	for _, row := range cells {
		rows = append(rows, line(columns, row, shown, widths, width, th))
	}
	return line(columns, heads, shown, widths, width, th), rows
}

func sorted[T any](columns []column[T], items []T, by sorting) []T {
	if by.column < 1 || by.column > len(columns) {
		if by.reverse {
			items = slices.Clone(items)
			slices.Reverse(items)
		}
		return items
	}
	col := columns[by.column-1]
	order := col.order
	if order == nil {
		order = func(a, b T) int { return cmp.Compare(col.show(a).text, col.show(b).text) }
	}
	return slices.SortedStableFunc(slices.Values(items), func(a, b T) int {
		if by.reverse {
			return order(b, a)
		}
		return order(a, b)
	})
}

// fit chooses the columns for which there is room, and cuts the wide ones in widths.
func fit[T any](columns []column[T], widths []int, width int) []int {
	var shown []int
	for c := range columns {
		shown = append(shown, c)
	}
	need := func(least bool) (sum int) {
		for i, c := range shown {
			w := widths[c]
			if least && columns[c].wide {
				w = min(w, wideMin)
			}
			sum += w + gap*min(i, 1)
		}
		return sum
	}
	for len(shown) > 1 && need(true) > width {
		least := slices.MinFunc(shown, func(a, b int) int { return cmp.Or(cmp.Compare(columns[a].keep, columns[b].keep), cmp.Compare(b, a)) })
		shown = slices.DeleteFunc(shown, func(c int) bool { return c == least })
	}
	for _, c := range slices.Backward(shown) {
		if over := need(false) - width; over > 0 && columns[c].wide {
			widths[c] = max(widths[c]-over, min(widths[c], wideMin))
		}
	}
	return shown
}

func line[T any](columns []column[T], row []cell, shown, widths []int, width int, th theme) string {
	var b strings.Builder
	for i, c := range shown {
		text := ansi.Truncate(row[c].text, widths[c], "…")
		pad := strings.Repeat(" ", widths[c]-ansi.StringWidth(text))
		if i > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		switch {
		case columns[c].right:
			b.WriteString(pad + th.paint(text, row[c].mood))
		case i == len(shown)-1:
			b.WriteString(th.paint(text, row[c].mood))
		default:
			b.WriteString(th.paint(text, row[c].mood) + pad)
		}
	}
	return ansi.Truncate(b.String(), width, "…")
}
