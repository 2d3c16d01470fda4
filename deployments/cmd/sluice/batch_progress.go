package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// rateWindow is the time over which the speed of a batch is measured.
const rateWindow = 20 * time.Second

// meter says in a line how a batch stands. It is told the time, so that the line is the same for the same input.
type meter struct {
	batch   client.Batch
	samples []sample // of the last rateWindow, at most one a second
}

type sample struct {
	at    time.Time
	ended int
}

// note takes in how the batch stands at that time. A batch that does not run has no speed.
func (m *meter) note(b client.Batch, at time.Time) {
	m.batch = b
	if standing(b) != string(completion.BatchInProgress) {
		m.samples = nil
		return
	}
	for len(m.samples) > 1 && at.Sub(m.samples[1].at) >= rateWindow {
		m.samples = m.samples[1:]
	}
	if n := len(m.samples); n == 0 || at.Sub(m.samples[n-1].at) >= time.Second {
		m.samples = append(m.samples, sample{at, b.Counts.Ended()})
	}
}

// rate is how many lines end in a second; 0: not known.
func (m *meter) rate(at time.Time) float64 {
	if len(m.samples) == 0 {
		return 0
	}
	first := m.samples[0]
	if passed := at.Sub(first.at).Seconds(); passed >= 1 {
		return float64(m.batch.Counts.Ended()-first.ended) / passed
	}
	return 0
}

// text is the line: what is done, what failed, speed, the time left and tokens.
func (m *meter) text(at time.Time) string {
	b := m.batch
	if b.State == completion.BatchValidating && b.Counts.Total == 0 {
		return standing(b)
	}
	parts := []string{fmt.Sprintf("%s/%s lines", digits(b.Counts.Ended()), digits(b.Counts.Total)), digits(b.Counts.Failed) + " failed"}
	switch rate, left := m.rate(at), b.Counts.Total-b.Counts.Ended(); {
	case standing(b) != string(completion.BatchInProgress):
		parts = append(parts, standing(b))
	case rate > 0 && left > 0:
		parts = append(parts, speed(rate)+" lines/s", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second).String()+" left")
	}
	if b.Usage.Total > 0 { // last: a narrow terminal cuts it off
		parts = append(parts, digits(b.Usage.Input)+" tokens in, "+digits(b.Usage.Output)+" out")
	}
	return strings.Join(parts, ", ")
}

func speed(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return digits(int64(rate))
}

// digits writes a number with a comma before each three digits.
func digits[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// lineEvery is how often progress is written where there is no terminal.
const lineEvery = 5 * time.Second

// progress shows how far something has come on standard error: as a bar on a terminal, else as a line now and then. It
// uses no colours.
type progress struct {
	out  io.Writer
	bars *mpb.Progress
	bar  *mpb.Bar // nil: lines

	mu   sync.Mutex
	text func(time.Time) string
	last time.Time // when a line was written
	said string
}

// progress starts to show what text says.
func (t *terminal) progress(text func(time.Time) string) *progress {
	p := &progress{out: t.err, text: text}
	f, isFile := t.err.(*os.File)
	if !isFile || t.dumb {
		return p
	}
	if _, rows, err := cwriter.GetSize(int(f.Fd())); err != nil || rows == 0 { // it is none, or one that shows nothing
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(f))
	p.bar = p.bars.AddBar(0, mpb.BarWidth(24), mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.now() })))
	return p
}

// set says that done of total are done; change is what makes the text another.
func (p *progress) set(done, total int64, change func()) {
	p.mu.Lock()
	change()
	if at := time.Now(); p.bar == nil && at.Sub(p.last) >= lineEvery {
		p.last = at
		p.line()
	}
	p.mu.Unlock()
	if p.bar != nil { // which asks for the text, and so for the lock
		p.bar.SetTotal(total, false)
		p.bar.SetCurrent(done)
	}
}

func (p *progress) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text(time.Now())
}

// line writes a line if it says something new.
func (p *progress) line() {
	if text := p.text(time.Now()); text != p.said {
		p.said = text
		fmt.Fprintln(p.out, text)
	}
}

// end removes the bar, or writes the last line.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line()
}
