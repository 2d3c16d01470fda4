package modelsim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// script is what an answer does beyond answering; doc.go explains the directives.
type script struct {
	tps       float64 // 0: no delays
	first     time.Duration
	tokens    int // -1: as the text comes
	reasoning int
	tool      string
	search    bool
	logprobs  bool
	big       int // -1: off
	deltas    int // that big comes in; 0: one
	comments  int // 0: off

	idChanges, nullContent, splitSurrogate, nul, badUTF8, nousage, stamp bool

	key   string
	times int // 0: always
	faults
}

// faults are what a script does wrong. The numbers count deltas, never where there is no such fault.
type faults struct {
	fail       int // 0: none
	code       string
	retryAfter string
	limit      int // 0: none

	cut, reset, stall, garbage, errorFrame int

	nofinish, nodone, unfinished, empty, keepaliveClose bool
}

const never = -1

var noFaults = faults{cut: never, reset: never, stall: never, garbage: never, errorFrame: never}

type setter func(*script, string) error

// directives is the whole grammar; a directive is a row here and in doc.go.
var directives = map[string]setter{
	"tps":             setRate,
	"first":           setDelay,
	"tokens":          number(func(s *script) *int { return &s.tokens }, 0, 10_000_000),
	"reasoning":       number(func(s *script) *int { return &s.reasoning }, 0, 10_000_000),
	"tool":            text(func(s *script) *string { return &s.tool }),
	"search":          flag(func(s *script) *bool { return &s.search }),
	"logprobs":        flag(func(s *script) *bool { return &s.logprobs }),
	"big":             number(func(s *script) *int { return &s.big }, 0, 1<<30),
	"deltas":          number(func(s *script) *int { return &s.deltas }, 1, 10_000_000),
	"comments":        number(func(s *script) *int { return &s.comments }, 0, 10_000_000),
	"id_changes":      flag(func(s *script) *bool { return &s.idChanges }),
	"null_content":    flag(func(s *script) *bool { return &s.nullContent }),
	"split_surrogate": flag(func(s *script) *bool { return &s.splitSurrogate }),
	"nul":             flag(func(s *script) *bool { return &s.nul }),
	"bad_utf8":        flag(func(s *script) *bool { return &s.badUTF8 }),
	"nousage":         flag(func(s *script) *bool { return &s.nousage }),
	"stamp":           flag(func(s *script) *bool { return &s.stamp }),

	"key":             text(func(s *script) *string { return &s.key }),
	"times":           number(func(s *script) *int { return &s.times }, 1, 1_000_000),
	"fail":            number(func(s *script) *int { return &s.fail }, 400, 599),
	"code":            text(func(s *script) *string { return &s.code }),
	"retry_after":     text(func(s *script) *string { return &s.retryAfter }),
	"limit":           number(func(s *script) *int { return &s.limit }, 1, 1_000_000),
	"cut":             number(func(s *script) *int { return &s.cut }, 0, 10_000_000),
	"reset":           number(func(s *script) *int { return &s.reset }, 0, 10_000_000),
	"stall":           number(func(s *script) *int { return &s.stall }, 0, 10_000_000),
	"garbage":         number(func(s *script) *int { return &s.garbage }, 0, 10_000_000),
	"error_frame":     number(func(s *script) *int { return &s.errorFrame }, 0, 10_000_000),
	"nofinish":        flag(func(s *script) *bool { return &s.nofinish }),
	"nodone":          flag(func(s *script) *bool { return &s.nodone }),
	"unfinished":      flag(func(s *script) *bool { return &s.unfinished }),
	"empty":           flag(func(s *script) *bool { return &s.empty }),
	"keepalive_close": flag(func(s *script) *bool { return &s.keepaliveClose }),
}

// parse reads a query of directives into s.
func (s *script) parse(query string) *failure {
	values, err := url.ParseQuery(query)
	if err != nil {
		return invalid("model", "The model's directives are not a URL query.")
	}
	for name, given := range values {
		set, ok := directives[name]
		if !ok {
			return invalid("model", fmt.Sprintf("Unknown directive %q.", name))
		}
		if err := set(s, given[len(given)-1]); err != nil {
			return invalid("model", fmt.Sprintf("Directive %q: %v.", name, err))
		}
	}
	if s.times > 0 && s.key == "" {
		return invalid("model", `Directive "times" needs "key".`)
	}
	if s.limit > 0 && s.key == "" {
		return invalid("model", `Directive "limit" needs "key".`)
	}
	return nil
}

func number(field func(*script) *int, low, high int) setter {
	return func(s *script, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			return fmt.Errorf("not a number from %d to %d", low, high)
		}
		*field(s) = n
		return nil
	}
}

func flag(field func(*script) *bool) setter {
	return func(s *script, v string) error {
		if v != "0" && v != "1" {
			return errors.New("not 0 or 1")
		}
		*field(s) = v == "1"
		return nil
	}
}

func text(field func(*script) *string) setter {
	return func(s *script, v string) error {
		*field(s) = v
		return nil
	}
}

func setRate(s *script, v string) error {
	rate, err := strconv.ParseFloat(v, 64)
	if err != nil || !(rate >= 0 && rate <= 1e6) {
		return errors.New("not a number from 0 to 1000000")
	}
	s.tps = rate
	return nil
}

func setDelay(s *script, v string) error {
	delay, err := time.ParseDuration(v)
	if err != nil || delay < 0 {
		return errors.New("not a duration")
	}
	s.first = delay
	return nil
}

// failure is the answer of the directive "fail".
func (s *script) failure(h http.Header) *failure {
	if s.retryAfter != "" {
		h.Set("Retry-After", s.retryAfter)
	}
	return &failure{Status: s.fail, Code: s.code, Message: fmt.Sprintf("The simulated model was told to fail with %d.", s.fail)}
}

// streamOnly reports whether s has a fault that only a stream can show.
func (s *script) streamOnly() bool {
	return s.nofinish || s.unfinished || s.empty || slices.Max([]int{s.cut, s.garbage, s.errorFrame}) > never
}
