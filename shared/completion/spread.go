package completion

import (
	"math"
	"time"
)

// Spread counts durations by size, for quantiles that can be added up over processes. Its i-th number is how many lasted
// less than 2^(i/4) ms, and no less than the number before says; what is longer than some ten minutes counts as that. The
// zero value is empty.
type Spread []int64

const (
	spreadSteps = 4  // numbers for each doubling: a quantile is right to a tenth
	spreadMost  = 80 // numbers: up to 2^20 ms
)

// Add counts one duration.
func (s *Spread) Add(d time.Duration) {
	i := 0
	if ms := float64(d) / float64(time.Millisecond); ms >= 1 {
		i = min(int(math.Log2(ms)*spreadSteps)+1, spreadMost-1)
	}
	s.grow(i + 1)
	(*s)[i]++
}

// Merge counts all that o has. What o has beyond the largest size counts as the largest.
func (s *Spread) Merge(o Spread) {
	s.grow(min(len(o), spreadMost))
	for i, n := range o {
		(*s)[min(i, spreadMost-1)] += max(n, 0)
	}
}

func (s *Spread) grow(n int) {
	if n > len(*s) {
		*s = append(*s, make(Spread, n-len(*s))...)
	}
}

// Count is how many durations there are.
func (s Spread) Count() (n int64) {
	for _, c := range s {
		n += c
	}
	return n
}

// Quantile is the duration than which a share q of all are shorter, from 0 to 1; 0 if there are none.
func (s Spread) Quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(s.Count())))
	for i, c := range s {
		if rank -= c; c > 0 && rank <= 0 {
			return time.Duration(math.Exp2((float64(i)-0.5)/spreadSteps) * float64(time.Millisecond))
		}
	}
	return 0
}
