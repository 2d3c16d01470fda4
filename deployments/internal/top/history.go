package top

import (
	"math"
	"strings"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

const (
	reach   = 5 * time.Minute  // how far the history goes back
	reachIn = time.Minute      // how far it is drawn at least, so that a young one is not a dot
	bridge  = 10 * time.Second // between two samples no further apart, nothing was missed
)

// sample is what is kept of a look, to draw lines of.
type sample struct {
	at        time.Time
	accepted  float64 // a second, over the minute before; NaN: not known
	completed float64
	waiting   map[completion.Lane]float64
}

func sampleOf(s client.System, at time.Time) sample {
	r := s.Rates.Minute
	p := sample{at: at, accepted: perSecond(r.Accepted), completed: perSecond(&r.Completed), waiting: map[completion.Lane]float64{}}
	for _, lane := range s.Lanes {
		if lane.Queue != nil {
			p.waiting[lane.Lane] = float64(lane.Queue.Waiting)
		}
	}
	return p
}

// perSecond is a count of the last minute.
func perSecond(n *int64) float64 {
	if n == nil {
		return math.NaN()
	}
	return float64(*n) / 60
}

// history has the samples of the last reach, the oldest first.
type history []sample

func (h history) add(s sample) history {
	first := 0
	for first < len(h) && s.at.Sub(h[first].at) > reach {
		first++
	}
	return append(h[first:len(h):len(h)], s)
}

// bars are the eighths of a character cell.
var bars = []rune("▁▂▃▄▅▆▇█")

// most is the greatest value of all.
func (h history) most(values ...func(sample) float64) (most float64) {
	for _, s := range h {
		for _, value := range values {
			if v := value(s); v > most { // NaN is not
				most = v
			}
		}
	}
	return most
}

// spark draws a value in so many columns, the latest at the right, up to top. Where nothing was seen it is blank: before the
// history began, and while the server was away.
func (h history) spark(width int, top float64, value func(sample) float64) string {
	if len(h) == 0 || width < 1 {
		return ""
	}
	sums, counts := make([]float64, width), make([]float64, width)
	last := h[len(h)-1].at
	drawn := max(last.Sub(h[0].at), reachIn)
	put := func(c int, v float64) {
		if c >= 0 && !math.IsNaN(v) {
			sums[c] += v
			counts[c]++
		}
	}
	before := 0 // column of the sample before
	for i, s := range h {
		c := width - 1 - int(int64(last.Sub(s.at))*int64(width)/int64(drawn+1))
		if i > 0 && s.at.Sub(h[i-1].at) <= bridge {
			for between := before + 1; between < c; between++ {
				put(between, value(h[i-1]))
			}
		}
		put(c, value(s))
		before = c
	}
	var b strings.Builder
	for c, sum := range sums {
		switch {
		case counts[c] == 0:
			b.WriteByte(' ')
		case top <= 0:
			b.WriteRune(bars[0])
		default:
			b.WriteRune(bars[min(int(math.Ceil(sum/counts[c]/top*float64(len(bars)-1))), len(bars)-1)])
		}
	}
	return b.String()
}
