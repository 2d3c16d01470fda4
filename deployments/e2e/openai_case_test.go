package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// openaiCase is a row of the table in openai/cases: what a program does, and what it must see.
//
// The text $case stands for a marker of the case and its driver, $N.PATH for a value of the sight of step N, and
// $key.NAME for an API key.
type openaiCase struct {
	Name  string
	Only  []string // drivers; empty: all
	Steps []openaiStep
}

// openaiStep is one call. See driver.mjs for what a call is.
type openaiStep struct {
	Call    string
	Args    json.RawMessage
	Headers map[string]string
	Key     string // name of an API key; empty: the one of the tenant; $case: one of a tenant of the case's own
	Retries int    // of the SDK; by default it makes none
	Timeout int    // ms; 0: the SDK's
	Abort   int    // the program leaves after so many events; 0: never
	// Until has what is awaited, as Want has it: the call is made again until it sees that.
	Until map[string]json.RawMessage
	// Want has for paths in the sight what is there: a value, or one of the objects of the function meets.
	Want map[string]json.RawMessage
}

// order is a call for a driver.
type order struct {
	ID      string            `json:"id"`
	URL     string            `json:"url"`
	Key     string            `json:"key"`
	Call    string            `json:"call"`
	Args    []json.RawMessage `json:"args"`
	Headers map[string]string `json:"headers"`
	Retries int               `json:"retries"`
	Timeout int               `json:"timeout,omitempty"`
	Abort   int               `json:"abort,omitempty"`
}

// sight is what a program saw of a call, with what the harness saw on both sides of Sluice.
type sight struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body,omitempty"`
	Events  []json.RawMessage `json:"events"`
	Text    string            `json:"text"`
	Lines   []json.RawMessage `json:"lines,omitempty"` // of Text, if it is the content of a file and all of them are JSON
	Aborted bool              `json:"aborted"`
	Error   *failure          `json:"error,omitempty"`

	Requests int             `json:"requests"` // how many the program made
	Upstream []upstreamSight `json:"upstream"` // what the upstream was asked in the whole case so far
}

// failure is what a program sees of an error.
type failure struct {
	Class     string          `json:"class"` // Node.js only: the SDK for Go has one type for all
	Message   string          `json:"message"`
	Status    int             `json:"status"`
	Code      string          `json:"code"`
	Param     string          `json:"param"`
	Type      string          `json:"type"`
	Body      json.RawMessage `json:"body,omitempty"`
	RequestID string          `json:"request_id"`
}

type upstreamSight struct {
	Path    string          `json:"path"`
	Body    json.RawMessage `json:"body"`
	Aborted bool            `json:"aborted"` // Sluice left first
}

// driver makes calls with a program.
type driver interface {
	do(ctx context.Context, o order) sight
}

// openaiCases reads the table.
func openaiCases(t *testing.T) []openaiCase {
	t.Helper()
	files, err := filepath.Glob("openai/cases/*.json")
	require.NoError(t, err)
	var all []openaiCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var cases []openaiCase
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&cases), file)
		all = append(all, cases...)
	}
	return all
}

var reference = regexp.MustCompile(`\$(case|key\.\w+|(\d+)\.[\w.#-]+)`)

// fill replaces the references in JSON text.
func fill(t *testing.T, text []byte, marker string, keys map[string]string, sights []string) []byte {
	t.Helper()
	return reference.ReplaceAllFunc(text, func(found []byte) []byte {
		name := string(found[1:])
		value := marker
		if key, ok := strings.CutPrefix(name, "key."); ok {
			value = keys[key]
		} else if name != "case" {
			step, path, _ := strings.Cut(name, ".")
			var i int
			_, err := fmt.Sscan(step, &i)
			require.NoError(t, err)
			at := gjson.Get(sights[i], path)
			require.True(t, at.Exists(), "%s is not in %s", found, sights[i])
			value = at.String()
		}
		quoted, err := json.Marshal(value)
		require.NoError(t, err)
		return quoted[1 : len(quoted)-1]
	})
}

// check compares a sight with what was wanted of it.
func check(s string, want map[string]json.RawMessage) error {
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if err := meets(gjson.Get(s, path), want[path], s); err != nil {
			return fmt.Errorf("%s %w of\n%s", path, err, s)
		}
	}
	return nil
}

// meets compares a value with what was wanted: the same JSON, or what an object with one key says of it:
//
//	$like   a regular expression that its text matches
//	$count  how many elements it has
//	$none   true: it is not there; false: it is, whatever it is
//	$same   true: all its elements are equal, and there is one
//	$join   the text that its elements make together, null being none
//	$is     the path of an equal value
//	$plus   the path of a number, and how much more it is
func meets(got gjson.Result, want json.RawMessage, s string) error {
	rule := gjson.ParseBytes(want)
	var name string
	if keys := rule.Get("@keys").Array(); rule.IsObject() && len(keys) == 1 {
		name = keys[0].Str
	}
	arg := rule.Get(gjson.Escape(name))
	var ok bool
	switch name {
	case "$like":
		ok = got.Exists() && regexp.MustCompile(arg.Str).MatchString(got.String())
	case "$count":
		ok = int64(len(got.Array())) == arg.Int()
	case "$none":
		ok = got.Exists() != arg.Bool()
	case "$same":
		ok = same(got.Array())
	case "$join":
		ok = join(got.Array()) == arg.Str
	case "$is":
		ok = got.Exists() && equal(got.Raw, gjson.Get(s, arg.Str).Raw)
	case "$plus":
		ok = got.Exists() && got.Int() == gjson.Get(s, arg.Get("0").Str).Int()+arg.Get("1").Int()
	default:
		ok = got.Exists() && equal(got.Raw, string(want))
	}
	if !ok {
		return fmt.Errorf("is %s, want %s", got.Raw, want)
	}
	return nil
}

// lines are those of a text, or nil if one of them is not JSON.
func lines(text string) []json.RawMessage {
	var all []json.RawMessage
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			return nil
		}
		all = append(all, json.RawMessage(line))
	}
	return all
}

func same(values []gjson.Result) bool {
	for _, v := range values {
		if v.Raw != values[0].Raw {
			return false
		}
	}
	return len(values) > 0
}

func join(values []gjson.Result) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(v.String())
	}
	return b.String()
}

// equal says whether two texts are the same JSON.
func equal(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}
