package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"text/template"
	"unicode/utf8"

	"sluice/shared/completion"
)

// The formats of a batch's input.
const (
	formatJSONL = "jsonl"
	formatCSV   = "csv"
	formatText  = "text"
)

// recipe is how requests are made of the rows of a CSV or the lines of a text.
type recipe struct {
	Template string            `placeholder:"TEXT" help:"Make the requests of CSV or plain text: the prompt, as a Go template over the row's columns, 'Summarise: {{.text}}'; a plain line is the column text. @FILE reads it from a file." json:"template,omitzero"`
	Model    string            `short:"m" help:"With CSV or text: the model to ask." json:"model,omitzero"`
	System   string            `short:"s" help:"With CSV or text: system message." json:"system,omitzero"`
	Param    map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"With CSV or text: more for the body of each request, as max_tokens=100 or 'response_format={\"type\":\"json_object\"}'; repeat it for more." json:"param,omitzero"`
}

// empty reports whether nothing is said of how to make requests.
func (r recipe) empty() bool {
	return r.Template == "" && r.Model == "" && r.System == "" && len(r.Param) == 0
}

// check says what is wrong with the recipe for that endpoint and format.
func (r recipe) check(e completion.Endpoint, format string) error {
	switch {
	case format == formatJSONL && !r.empty():
		return errors.New("--template, --model, --system and --param are for CSV and plain text; requests in JSON Lines have all that (--format says what the input is)")
	case format == formatJSONL:
		return nil
	case r.Model == "":
		return errors.New("requests that are made of CSV or plain text need a --model")
	case r.Template == "" && format == formatCSV:
		return errors.New("requests that are made of CSV need a --template")
	case r.System != "" && (e == completion.EndpointCompletions || e == completion.EndpointEmbeddings):
		return fmt.Errorf("%s takes no --system message", e)
	}
	return nil
}

// row is what one request is made of.
type row struct {
	line    int    // where it begins in the input, from 1
	id      string // its own; empty: it has none
	columns map[string]string
}

// request is a line of a batch's file.
type request struct {
	CustomID string         `json:"custom_id"`
	Method   string         `json:"method"`
	URL      string         `json:"url"`
	Body     map[string]any `json:"body"`
}

// cook writes a request for each row and returns how many. Errors name the line of the input.
func (r recipe) cook(out io.Writer, e completion.Endpoint, rows iter.Seq2[row, error]) (n int, err error) {
	text := r.Template
	if text == "" {
		text = "{{.text}}"
	}
	prompt, err := template.New("template").Option("missingkey=error").Parse(text)
	if err != nil {
		return 0, fmt.Errorf("read the template: %w", err)
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	seen := map[string]int{}
	for row, err := range rows {
		if err != nil {
			return n, err
		}
		if row.id == "" {
			row.id = fmt.Sprintf("line-%d", row.line)
		}
		if before, twice := seen[row.id]; twice {
			return n, fmt.Errorf("line %d: the id %q is that of line %d, too", row.line, row.id, before)
		}
		seen[row.id] = row.line
		var said strings.Builder
		if err := prompt.Execute(&said, row.columns); err != nil {
			columns := slices.Sorted(maps.Keys(row.columns))
			return n, fmt.Errorf("line %d: %w (its columns: %s)", row.line, err, strings.Join(columns, ", "))
		}
		if !utf8.ValidString(said.String()) || !utf8.ValidString(row.id) {
			return n, fmt.Errorf("line %d: not UTF-8", row.line)
		}
		if err := enc.Encode(request{CustomID: row.id, Method: "POST", URL: string(e), Body: r.body(e, said.String())}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// body is the request's body; what --param says wins.
func (r recipe) body(e completion.Endpoint, prompt string) map[string]any {
	b := map[string]any{"model": r.Model}
	switch e {
	case completion.EndpointCompletions:
		b["prompt"] = prompt
	case completion.EndpointEmbeddings:
		b["input"] = prompt
	case completion.EndpointResponses:
		b["input"] = prompt
		if r.System != "" {
			b["instructions"] = r.System
		}
	default:
		b["messages"] = messages(r.System, prompt)
	}
	for name, value := range r.Param {
		b[name] = value
		if json.Valid([]byte(value)) {
			b[name] = json.RawMessage(value)
		}
	}
	return b
}

// textRows are the lines of a plain text that are not blank.
func textRows(in io.Reader) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		lines := bufio.NewScanner(withoutMark(in))
		lines.Buffer(nil, completion.MaxBatchFileBytes)
		n := 0
		for lines.Scan() {
			n++
			if strings.TrimSpace(lines.Text()) == "" {
				continue
			}
			if !yield(row{line: n, columns: map[string]string{"text": lines.Text()}}, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(row{}, fmt.Errorf("line %d: %w", n+1, err))
		}
	}
}

// csvRows are the rows of a CSV under its header. The column custom_id, or else id, is the row's own id.
func csvRows(in io.Reader) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		records := csv.NewReader(withoutMark(in))
		header, own, err := csvHeader(records)
		for err == nil {
			var record []string
			if record, err = records.Read(); err != nil {
				break
			}
			r := row{columns: make(map[string]string, len(header))}
			r.line, _ = records.FieldPos(0)
			for i, name := range header {
				r.columns[name] = record[i]
			}
			if own != "" {
				if r.id = r.columns[own]; r.id == "" {
					err = fmt.Errorf("line %d: its %s is empty", r.line, own)
					break
				}
			}
			if !yield(r, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(row{}, fmt.Errorf("read CSV: %w", err))
		}
	}
}

// csvHeader reads the names of the columns, and which one has the rows' ids.
func csvHeader(records *csv.Reader) (names []string, own string, err error) {
	if names, err = records.Read(); err != nil {
		return nil, "", err
	}
	known := map[string]bool{}
	for i, name := range names {
		if name = strings.TrimSpace(name); known[name] {
			return nil, "", fmt.Errorf("line 1: two columns are called %q", name)
		}
		names[i], known[name] = name, true
	}
	for _, own := range []string{"custom_id", "id"} {
		if known[own] {
			return names, own, nil
		}
	}
	return names, "", nil
}

// withoutMark drops a byte order mark.
func withoutMark(in io.Reader) *bufio.Reader {
	b := bufio.NewReader(in)
	if start, _ := b.Peek(3); bytes.Equal(start, []byte("\ufeff")) { // a shorter input has no mark, and its error comes again
		_, _ = b.Discard(3)
	}
	return b
}
