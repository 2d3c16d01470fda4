package conductor

import "time"

const (
	firstWindow = 64
	ahead       = 2 * time.Second
)

// pace keeps the waiting lines of a batch to what the workers have taken lately in the time ahead. It starts low and doubles
// for as long as they keep up, so that neither a slow upstream has a thousand lines waiting, nor a fast one has to wait.
type pace struct {
	window int       // lines that may wait; 0: nothing was fed yet
	at     time.Time // when lines were fed last
	left   int       // how many waited then
}

// room is how many lines may be fed now, when so many wait and at most share may: none until half of them are taken.
func (p *pace) room(waiting, share int, now time.Time) int {
	if p.window == 0 {
		p.window = firstWindow
	}
	if target := min(p.window, share); 2*waiting > target {
		return 0
	}
	if elapsed := now.Sub(p.at); !p.at.IsZero() && elapsed > 0 {
		taken := float64(p.left-waiting) * float64(ahead) / float64(elapsed)
		p.window = int(min(max(taken, float64(p.window/2)), float64(2*p.window)))
		p.window = min(max(p.window, leastWaiting), mostWaiting)
	}
	return max(0, min(p.window, share)-waiting)
}

// fed notes that so many lines wait after some were fed.
func (p *pace) fed(waiting int, now time.Time) { p.left, p.at = waiting, now }
