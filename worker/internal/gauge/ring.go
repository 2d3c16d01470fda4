package gauge

import "time"

// ring has one C for each cell of the time that has just passed; older ones are used again.
type ring[C any] struct {
	cells []C
	times []int64 // which cell of all time each of cells is
}

func newRing[C any](span time.Duration) *ring[C] {
	n := int(span / cell)
	return &ring[C]{cells: make([]C, n), times: make([]int64, n)}
}

// number is that of the cell in which now is.
func number(now time.Time) int64 { return now.UnixNano() / int64(cell) }

// at is the cell in which now is.
func (r *ring[C]) at(now time.Time) *C {
	n := number(now)
	i := int(n % int64(len(r.cells)))
	if r.times[i] != n {
		var empty C
		r.cells[i], r.times[i] = empty, n
	}
	return &r.cells[i]
}

// each calls f with the cells of the span before now, the one in which it is included.
func (r *ring[C]) each(now time.Time, span time.Duration, f func(C)) {
	last := number(now)
	for i, n := range r.times {
		if n <= last && n > last-int64(span/cell) {
			f(r.cells[i])
		}
	}
}
