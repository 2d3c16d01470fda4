package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"sluice/shared/completion"
)

// wellFormed checks what holds for all JSON that comes in, be it the body of a request or a line of a file: valid, UTF-8, not
// too deep, no NUL and no half surrogate pairs, which no upstream and no database would take.
func wellFormed(body []byte, noun string) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return completion.NewError(completion.CodeInvalidJSON, "The "+noun+" is empty; it must be a JSON object.")
	}
	if !utf8.Valid(body) {
		return completion.NewError(completion.CodeInvalidJSON, "The "+noun+" is not valid UTF-8.")
	}
	if depth(body) > MaxDepth {
		return completion.Invalid(deepest(body), "The %s is nested more than %d levels deep.", noun, MaxDepth)
	}
	if !json.Valid(body) {
		return syntax(body, noun)
	}
	if bytes.Contains(body, []byte(`\u`)) {
		if path, what := badEscape(gjson.ParseBytes(body), ""); what != "" {
			return completion.Invalid(path, "The text holds %s.", what)
		}
	}
	return nil
}

// syntax says where body stops being JSON.
func syntax(body []byte, noun string) error {
	e := completion.NewError(completion.CodeInvalidJSON, "")
	var at *json.SyntaxError
	var any json.RawMessage
	err := json.Unmarshal(body, &any)
	if errors.As(err, &at) {
		e.Message = fmt.Sprintf("The %s is not valid JSON: %s at byte %d.", noun, at.Error(), at.Offset)
	}
	return e.Because(err)
}

// depth is how deep arrays and objects nest.
func depth(body []byte) int {
	level, most := 0, 0
	walk(body, func(c byte) {
		switch c {
		case '{', '[':
			level++
			most = max(most, level)
		case '}', ']':
			level--
		}
	})
	return most
}

// deepest names the top-level member that goes too deep.
func deepest(body []byte) string {
	path := ""
	gjson.ParseBytes(body).ForEach(func(k, v gjson.Result) bool {
		if depth([]byte(v.Raw)) >= MaxDepth {
			path = Shorten(k.Str)
			return false
		}
		return true
	})
	return path
}

// walk calls visit for each byte outside of strings.
func walk(body []byte, visit func(byte)) {
	quoted := false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted:
			visit(c)
		}
	}
}

// badEscape returns the path and a description of the first string, or member name, under v that holds a NUL or half a
// surrogate pair. v is valid JSON of at most MaxDepth levels.
func badEscape(v gjson.Result, at string) (path, what string) {
	if v.Type == gjson.String {
		return at, badText(v.Raw)
	}
	if v.Type != gjson.JSON || !strings.Contains(v.Raw, `\u`) {
		return "", ""
	}
	n, isArray := 0, v.IsArray()
	v.ForEach(func(k, child gjson.Result) bool {
		if isArray {
			path, what = badEscape(child, at+"["+strconv.Itoa(n)+"]")
		} else if what = badText(k.Raw); what != "" {
			path, what = at, what+" in the name of a field"
		} else {
			path, what = badEscape(child, join(at, k.Str))
		}
		n++
		return what == ""
	})
	return path, what
}

// badText looks at one escaped JSON string.
func badText(raw string) string {
	for i := 0; i+6 <= len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if raw[i+1] != 'u' {
			i++
			continue
		}
		switch code := hex4(raw[i+2:]); {
		case code == 0:
			return `a NUL character (\u0000)`
		case code >= 0xdc00 && code <= 0xdfff:
			return fmt.Sprintf(`half a surrogate pair (\u%04x)`, code)
		case code >= 0xd800 && code <= 0xdbff:
			next := raw[i+6:]
			if len(next) < 6 || next[0] != '\\' || next[1] != 'u' || hex4(next[2:]) < 0xdc00 || hex4(next[2:]) > 0xdfff {
				return fmt.Sprintf(`half a surrogate pair (\u%04x)`, code)
			}
			i += 6
		}
		i += 5
	}
	return ""
}

func hex4(s string) uint64 {
	n, _ := strconv.ParseUint(s[:4], 16, 16) // valid JSON: always four digits
	return n
}
