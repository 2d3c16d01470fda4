package conductor

import (
	"cmp"
	"context"
	"slices"

	"sluice/api/internal/line"
	"sluice/shared/completion"
)

// twins are the lines fed that ask for the same as an earlier one, and therefore are no jobs. nil has none.
type twins struct {
	finder line.Twins
	list   []twin        // in line order
	by     map[int][]int // places in the list, by original
}

// twin is a line that shares the answer of another.
type twin struct {
	number   int
	original int
	customID string
}

// meet takes note of the next line, and reports whether it is a twin.
func (t *twins) meet(l *line.Line) bool {
	if t == nil {
		return false
	}
	original := t.finder.Original(l)
	if original == l.Number {
		return false
	}
	if t.by == nil {
		t.by = map[int][]int{}
	}
	t.by[original] = append(t.by[original], len(t.list))
	t.list = append(t.list, twin{l.Number, original, l.CustomID})
	return true
}

func (t *twins) find(number int) (place int, ok bool) {
	if t == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(t.list, number, func(w twin, n int) int { return cmp.Compare(w.number, n) })
}

// has reports whether the line is a twin.
func (t *twins) has(number int) bool {
	_, ok := t.find(number)
	return ok
}

// original is the line whose job answers for the line: itself, if it is no twin.
func (t *twins) original(number int) int {
	if place, ok := t.find(number); ok {
		return t.list[place].original
	}
	return number
}

// originals are the lines whose jobs answer for the lines, each once.
func (t *twins) originals(numbers []int) []int {
	lines := make([]int, len(numbers))
	for i, n := range numbers {
		lines[i] = t.original(n)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// of are the twins of an original.
func (t *twins) of(original int) []twin {
	if t == nil {
		return nil
	}
	list := make([]twin, 0, len(t.by[original]))
	for _, place := range t.by[original] {
		list = append(list, t.list[place])
	}
	return list
}

// missing reports whether a twin of an original is not in the set.
func (t *twins) missing(original int, in completion.LineSet) bool {
	return slices.ContainsFunc(t.of(original), func(w twin) bool { return !in.Has(w.number) })
}

// rewind reads the input up to the last line fed, to know the twins again.
func (g *charge) rewind(ctx context.Context) error {
	in, err := openInput(ctx, g.Files, &g.b, line.Position{})
	if err != nil {
		return err
	}
	g.input, g.twins = in, &twins{}
	for n := 0; n < g.b.Checkpoint.Fed; {
		l, err := in.read(ctx)
		if err != nil {
			return err
		}
		g.twins.meet(&l)
		n = l.Number
	}
	return nil
}
