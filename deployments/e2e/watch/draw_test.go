package watch_test

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the picture measures, in pixels: a dashboard has 24 columns.
const (
	column = 58
	rowOf  = 26 // of a unit of height
	width  = 24*column + 16
	gap    = 6
)

var colours = []string{"#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#fade2a", "#56a64b", "#e0b400"}

// height is what a dashboard takes.
func height(d dashboard) int64 {
	lowest := 0
	for _, p := range d.Panels {
		lowest = max(lowest, p.GridPos.Y+p.GridPos.H)
	}
	return int64(lowest*rowOf + 56)
}

// draw makes a page of the dashboard: lines and figures where Grafana has them, without what a person could do with it.
func draw(d dashboard, ask func(panel, target) []line, from, to time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><style>body{margin:0;background:#111217;font:11px system-ui,sans-serif;color:#ccccdc}
h1{font-size:15px;margin:12px 14px 6px}div{position:absolute;box-sizing:border-box}.p{background:#181b1f;border:1px solid #2c3235;border-radius:3px;padding:5px 8px;overflow:hidden}
b{font-weight:600}.n{font-size:30px;font-weight:600;text-align:center;width:100%%;left:0;top:36px}.r{font-size:13px;font-weight:600;padding:6px 2px}span{white-space:nowrap;margin-right:9px}</style><h1>%s</h1>`,
		html.EscapeString(d.Title))
	for _, p := range d.Panels {
		x, y, w, h := p.GridPos.X*column+8, p.GridPos.Y*rowOf+44, p.GridPos.W*column-gap, p.GridPos.H*rowOf-gap
		if p.Type == "row" {
			fmt.Fprintf(&b, `<div class="r" style="left:%dpx;top:%dpx">%s</div>`, x, y, html.EscapeString(p.Title))
			continue
		}
		fmt.Fprintf(&b, `<div class="p" style="left:%dpx;top:%dpx;width:%dpx;height:%dpx"><b>%s</b>`, x, y, w, h, html.EscapeString(p.Title))
		if p.Type == "stat" {
			value := math.NaN()
			if all := ask(p, p.Targets[0]); len(all) > 0 {
				value = number(all[0].Value[1])
			}
			fmt.Fprintf(&b, `<div class="n">%s</div>`, show(value, p.unit()))
		} else {
			curves(&b, p, ask, from, to, w-16, h-52)
		}
		b.WriteString(`</div>`)
	}
	return b.String()
}

func (p panel) unit() string { return p.FieldConfig.Defaults.Unit }

// curve is one line of a panel.
type curve struct {
	name   string
	points [][2]float64 // seconds since the epoch, value
}

var label = regexp.MustCompile(`\{\{(\w+)\}\}`)

func curvesOf(p panel, ask func(panel, target) []line) (all []curve, top float64) {
	for _, q := range p.Targets {
		for _, l := range ask(p, q) {
			c := curve{name: label.ReplaceAllStringFunc(q.Legend, func(s string) string { return l.Metric[strings.Trim(s, "{}")] })}
			for _, v := range l.Values {
				if n := number(v[1]); !math.IsNaN(n) {
					at, _ := v[0].(float64)
					c.points, top = append(c.points, [2]float64{at, n}), max(top, n)
				}
			}
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b curve) int { return cmp.Compare(a.name, b.name) })
	return all, top
}

func curves(b *strings.Builder, p panel, ask func(panel, target) []line, from, to time.Time, w, h int) {
	all, top := curvesOf(p, ask)
	top = cmp.Or(top, 1) * 1.1
	const left = 44
	fmt.Fprintf(b, `<svg width="%d" height="%d" style="display:block;margin-top:3px">`, w, h)
	for i := range 3 {
		y := h - 12 - (h-20)*i/2
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="#2c3235"/><text x="%d" y="%d" fill="#8e8e9a" text-anchor="end">%s</text>`,
			left, w, y, y, left-4, y+4, show(top*float64(i)/2, p.unit()))
	}
	span := to.Sub(from).Seconds()
	for n, c := range all {
		var points strings.Builder
		for _, at := range c.points {
			x := left + (at[0]-float64(from.UnixMilli())/1000)/span*float64(w-left)
			fmt.Fprintf(&points, "%.1f,%.1f ", x, float64(h-12)-at[1]/top*float64(h-20))
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.4" points="%s"/>`, colours[n%len(colours)], points.String())
	}
	b.WriteString(`</svg>`)
	for n, c := range all {
		fmt.Fprintf(b, `<span><i style="color:%s">▬</i> %s</span>`, colours[n%len(colours)], html.EscapeString(c.name))
	}
}

func number(v any) float64 {
	s, _ := v.(string) // Prometheus sends numbers as strings
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// show writes a value in Grafana's unit.
func show(v float64, unit string) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case unit == "s" && v < 1:
		return strconv.FormatFloat(v*1000, 'f', 1, 64) + " ms"
	case unit == "s":
		return strconv.FormatFloat(v, 'f', 2, 64) + " s"
	case unit == "percentunit":
		return strconv.FormatFloat(v*100, 'f', 1, 64) + " %"
	case unit == "ops":
		return strconv.FormatFloat(v, 'f', 1, 64) + "/s"
	case v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}
