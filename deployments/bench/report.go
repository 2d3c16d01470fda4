package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is everything that was measured.
type Report struct {
	At       time.Time `json:"at"`
	Machine  Machine   `json:"machine"`
	Settings Settings  `json:"settings"`
	Rows     []Row     `json:"rows"`
	Stages   []Stage   `json:"stages,omitempty"`
	Costs    []Cost    `json:"costs,omitempty"`
}

// Row is one figure. Values are medians over the rounds; Added is the median of the rounds' differences, which need not be
// the difference of the medians, and Ratio that of their quotients.
type Row struct {
	Name     string    `json:"name"`
	Unit     string    `json:"unit"`
	Value    float64   `json:"value"`
	Baseline *float64  `json:"baseline,omitempty"` // the same of what it is compared with
	Added    *float64  `json:"added,omitempty"`
	Ratio    *float64  `json:"ratio,omitempty"`
	Aim      float64   `json:"aim,omitempty"`      // upper limit of Added or Ratio, or of Value where there is neither; 0: none
	AtLeast  bool      `json:"at_least,omitempty"` // Aim is a lower limit
	Verdict  Verdict   `json:"verdict,omitempty"`
	Rounds   []float64 `json:"rounds,omitempty"`          // Value of each round
	Base     []float64 `json:"baseline_rounds,omitempty"` // Baseline of each round
	Note     string    `json:"note,omitempty"`            // why there is no value
}

// Verdict compares a row with its aim.
type Verdict string

const (
	met    Verdict = "met"
	missed Verdict = "missed"
)

// Stage is one part of an interval.
type Stage struct {
	Name string  `json:"name"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
}

// Cost is the CPU time that one of something takes in each process, in microseconds, user and system together; medians over
// the rounds.
type Cost struct {
	Name   string               `json:"name"`
	CPU    map[string]float64   `json:"cpu_us"`
	Rounds []map[string]float64 `json:"rounds,omitempty"`
}

// cost is one of rounds that each measured how long n of something took.
func cost(name string, rounds []map[string]time.Duration, n []float64) Cost {
	c := Cost{Name: name, CPU: map[string]float64{}}
	values := map[string][]float64{}
	for i, took := range rounds {
		each := map[string]float64{}
		for process, d := range took {
			each[process] = microseconds(d) / n[i]
			values[process] = append(values[process], each[process])
		}
		c.Rounds = append(c.Rounds, each)
	}
	for process, v := range values {
		c.CPU[process] = median(v)
	}
	return c
}

// compare is a row of one percentile of two sides, in milliseconds.
func compare(name string, side, baseline series, p, aim float64) Row {
	r := Row{Name: name, Unit: "ms", Aim: aim, Rounds: side.percentiles(p), Base: baseline.percentiles(p)}
	r.Value = median(r.Rounds)
	r.Baseline, r.Added = new(median(r.Base)), new(median(minus(r.Rounds, r.Base)))
	return r.judged()
}

// ratio is a row of two figures of which the quotient counts, unless there is none.
func ratio(name, unit string, values, baseline []float64) Row {
	r := Row{Name: name, Unit: unit, Rounds: values, Base: baseline, Value: median(values)}
	r.Baseline = new(median(baseline))
	if !slices.Contains(baseline, 0) {
		r.Ratio = new(median(over(values, baseline)))
	}
	return r
}

// plain is a row of one figure without a baseline.
func plain(name, unit string, values ...float64) Row {
	r := Row{Name: name, Unit: unit, Value: median(values)}
	if len(values) > 1 {
		r.Rounds = values
	}
	return r
}

// below gives r an upper limit.
func (r Row) below(aim float64) Row {
	r.Aim = aim
	return r.judged()
}

// atLeast gives r a lower limit.
func (r Row) atLeast(aim float64) Row {
	r.Aim, r.AtLeast = aim, true
	return r.judged()
}

// absent is a row that could not be measured, with the reason.
func absent(name, why string) Row { return Row{Name: name, Note: why} }

// judged compares r with its aim.
func (r Row) judged() Row {
	limited := r.Value
	for _, v := range []*float64{r.Added, r.Ratio} {
		if v != nil {
			limited = *v
		}
	}
	switch {
	case r.Aim == 0:
	case r.AtLeast && limited >= r.Aim, !r.AtLeast && limited <= r.Aim:
		r.Verdict = met
	default:
		r.Verdict = missed
	}
	return r
}

// cells are r as the table shows it.
func (r Row) cells() []string {
	if r.Note != "" {
		return []string{r.Name, "–", "–", "–", "–", r.Note}
	}
	baseline, compared := "–", "–"
	if r.Baseline != nil {
		baseline = fmt.Sprintf("%.2f %s", *r.Baseline, r.Unit)
	}
	switch {
	case r.Added != nil:
		compared = fmt.Sprintf("%+.2f %s", *r.Added, r.Unit)
	case r.Ratio != nil:
		compared = fmt.Sprintf("× %.2f", *r.Ratio)
	}
	return []string{
		r.Name, fmt.Sprintf("%.2f %s", r.Value, r.Unit), baseline, compared, r.aim(), cmp.Or(string(r.Verdict), "–"),
	}
}

// aim is r's as the table shows it.
func (r Row) aim() string {
	if r.Aim == 0 {
		return "–"
	}
	sign := "≤"
	if r.AtLeast {
		sign = "≥"
	}
	switch {
	case r.Added != nil:
		return fmt.Sprintf("added %s %g %s", sign, r.Aim, r.Unit)
	case r.Ratio != nil:
		return fmt.Sprintf("%s × %g", sign, r.Aim)
	}
	return fmt.Sprintf("%s %g %s", sign, r.Aim, r.Unit)
}

// writeTable prints the report for people, in Markdown.
func (r *Report) writeTable(w io.Writer) error {
	if _, err := io.WriteString(w, r.Machine.String()+"; "+r.Settings.String()+"\n\n"+r.tables()); err != nil {
		return fmt.Errorf("print report: %w", err)
	}
	return nil
}

// tables are all figures, in Markdown.
func (r *Report) tables() string {
	rows := [][]string{{"measured", "value", "baseline", "compared", "aim", "verdict"}}
	for _, row := range r.Rows {
		rows = append(rows, row.cells())
	}
	text := table(rows)
	if len(r.Stages) > 0 {
		rows = [][]string{{"where the time goes", "p50", "p99"}}
		for _, s := range r.Stages {
			rows = append(rows, []string{s.Name, fmt.Sprintf("%.2f ms", s.P50), fmt.Sprintf("%.2f ms", s.P99)})
		}
		text += "\n" + table(rows)
	}
	if len(r.Costs) > 0 {
		rows = [][]string{append([]string{"CPU time, µs"}, columns...)}
		for _, c := range r.Costs {
			rows = append(rows, c.cells())
		}
		text += "\n" + table(rows)
	}
	return text
}

// alone is the column of the program that something is compared with.
const alone = "baseline"

// columns are the processes of the table of CPU times.
var columns = append(slices.Clone(processes), alone)

func (c *Cost) cells() []string {
	cells := []string{c.Name}
	for _, name := range columns {
		text := "–"
		if v, ok := c.CPU[name]; ok {
			text = fmt.Sprintf("%.0f", v)
		}
		cells = append(cells, text)
	}
	return cells
}

// table aligns rows, of which the first is the header, as a Markdown table.
func table(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, c := range cells {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		for i, c := range cells {
			b.WriteString("| " + c + strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+1))
		}
		b.WriteString("|\n")
	}
	line(rows[0])
	for _, w := range width {
		b.WriteString("|" + strings.Repeat("-", w+2))
	}
	b.WriteString("|\n")
	for _, cells := range rows[1:] {
		line(cells)
	}
	return b.String()
}

// writeJSON prints the report for programs.
func (r *Report) writeJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
