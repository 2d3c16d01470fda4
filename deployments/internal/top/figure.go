package top

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// unknown stands where there is no figure.
const unknown = "–"

// count writes a number in at most seven characters.
func count[N int | int64](n N) string {
	switch {
	case n >= 10_000_000:
		return strconv.FormatInt(int64(n)/1_000_000, 10) + "M"
	case n >= 1_000_000:
		return strconv.FormatFloat(float64(n)/1_000_000, 'f', 1, 64) + "M"
	case n >= 1_000:
		return strconv.FormatInt(int64(n)/1000, 10) + "," + fmt.Sprintf("%03d", int64(n)%1000)
	default:
		return strconv.FormatInt(int64(n), 10)
	}
}

// speed writes so many a second.
func speed(perSecond float64) string {
	switch {
	case math.IsNaN(perSecond):
		return unknown
	case perSecond > 0 && perSecond < 9.95:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	default:
		return count(int64(math.Round(perSecond)))
	}
}

// span writes a time in at most six characters.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// ago is span without parts of a second, which flicker.
func ago(d time.Duration) string {
	if d < 10*time.Second {
		return strconv.Itoa(int(max(d, 0).Seconds())) + "s"
	}
	return span(d)
}

// seconds is span of what JSON has.
func seconds(s *float64) string {
	if s == nil {
		return unknown
	}
	return span(time.Duration(*s * float64(time.Second)))
}

// clean is text without what steers a terminal or leaves its line.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, text)
}
