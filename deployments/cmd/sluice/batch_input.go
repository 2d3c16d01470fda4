package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"sluice/shared/completion"
)

// stdio is the name that means standard input or output.
const stdio = "-"

// ask is what a batch is asked to do, beside its input. The state file of a run keeps it.
type ask struct {
	Endpoint    completion.Endpoint `placeholder:"PATH" help:"Endpoint of the requests; by default that of the first one, or /v1/chat/completions for CSV and text." json:"endpoint,omitzero"`
	Window      string              `default:"24h" help:"When it must be done, as 30m, 24h or 7d: what has not run by then expires." json:"window"`
	Metadata    map[string]string   `mapsep:"none" placeholder:"NAME=VALUE" help:"A label of the batch; repeat it for more." json:"metadata,omitzero"`
	Deduplicate bool                `help:"Let identical requests share one upstream call." json:"deduplicate,omitzero"`
	Format      string              `enum:"auto,jsonl,csv,text" default:"auto" help:"What IN is: jsonl, csv or text. By default its name says it, .csv or .txt; else it is text if there is a --template, and jsonl if not." json:"format"`
	recipe
}

// settle reads a template that is in a file, and names the format of the input.
func (a *ask) settle(in string) error {
	if path, isFile := strings.CutPrefix(a.Template, "@"); isFile {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the template: %w", err)
		}
		a.Template = string(text)
	}
	if a.Format == "auto" {
		switch ext := strings.ToLower(filepath.Ext(in)); {
		case ext == ".csv":
			a.Format = formatCSV
		case ext == ".txt", a.Template != "":
			a.Format = formatText
		default:
			a.Format = formatJSONL
		}
	}
	if a.Endpoint == "" && a.Format != formatJSONL {
		a.Endpoint = completion.EndpointChat
	}
	return a.check(a.Endpoint, a.Format)
}

// input is a file of requests, ready to be sent.
type input struct {
	*os.File
	name      string // as the server shall call it
	size      int64
	sha256    string
	temporary bool
}

func (i *input) Close() error {
	err := i.File.Close()
	if i.temporary {
		err = errors.Join(err, os.Remove(i.Name()))
	}
	return err
}

// prepare makes the requests, or takes those that are there. What a pipe brings is put into a temporary file, as is what
// is made. An empty endpoint becomes that of the first request.
func (a *ask) prepare(ctx context.Context, path string, t *terminal) (i *input, err error) {
	from, base := t.in, "stdin"
	if path != stdio {
		if from, err = os.Open(path); err != nil {
			return nil, err
		}
		base = filepath.Base(path)
	}
	i = &input{File: from, name: base}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
			i = nil
		}
	}()
	if a.Format != formatJSONL {
		i.name = strings.TrimSuffix(base, filepath.Ext(base)) + ".jsonl"
		err = i.replace(path, func(w io.Writer) error { return a.make(ctx, w, from) })
	} else if info, statErr := from.Stat(); statErr != nil || !info.Mode().IsRegular() {
		err = i.replace(path, func(w io.Writer) error { _, err := io.Copy(w, from); return err })
	}
	if err != nil {
		return i, fmt.Errorf("%s: %w", path, err)
	}
	if err = errors.Join(i.measure(), a.peek(i)); err != nil {
		return i, fmt.Errorf("%s: %w", path, err)
	}
	return i, nil
}

// make writes the requests of the rows of from.
func (a *ask) make(ctx context.Context, w io.Writer, from io.Reader) error {
	rows := textRows(from)
	if a.Format == formatCSV {
		rows = csvRows(from)
	}
	n, err := a.cook(w, a.Endpoint, until(ctx, rows))
	if err == nil && n == 0 {
		err = errors.New("there is nothing in it to ask")
	}
	return err
}

// until ends rows with the context.
func until(ctx context.Context, rows iter.Seq2[row, error]) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for r, err := range rows {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// replace lets the input be a temporary file that fill writes.
func (i *input) replace(path string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp("", "sluice-*.jsonl")
	if err != nil {
		return err
	}
	from := i.File
	i.File, i.temporary = f, true
	err = fill(&limited{w: f, left: completion.MaxBatchFileBytes})
	if path != stdio {
		err = errors.Join(err, from.Close())
	}
	return err
}

// errTooLarge is said of a batch's file that the server would refuse.
var errTooLarge = fmt.Errorf("the requests have more than %d MB, which is the most that a batch may have: split them", completion.MaxBatchFileBytes>>20)

// limited takes so many bytes and no more.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errTooLarge
	}
	return l.w.Write(p)
}

// measure finds the size and the hash, and goes back to the start.
func (i *input) measure() error {
	hash := sha256.New()
	if _, err := i.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(&limited{w: hash, left: completion.MaxBatchFileBytes}, i)
	if err != nil {
		return err
	}
	i.size, i.sha256 = n, hex.EncodeToString(hash.Sum(nil))
	_, err = i.Seek(0, io.SeekStart)
	return err
}

// peek looks whether the input begins like requests do, and at the endpoint of the first. All else is the server's to
// judge, which says it with the lines' numbers.
func (a *ask) peek(i *input) error {
	in, start := withoutMark(i), byte(' ')
	for strings.IndexByte(" \t\r\n", start) >= 0 {
		var err error
		if start, err = in.ReadByte(); errors.Is(err, io.EOF) {
			return errors.New("it is empty")
		} else if err != nil {
			return err
		}
	}
	if start != '{' {
		return errors.New("it does not begin with a request of OpenAI's batch format; CSV and plain text need a --template and a --model (see sluice batch run --help)")
	}
	if a.Endpoint == "" {
		var first struct {
			URL completion.Endpoint `json:"url"`
		}
		a.Endpoint = completion.EndpointChat
		if in.UnreadByte() == nil && json.NewDecoder(in).Decode(&first) == nil && first.URL != "" {
			a.Endpoint = first.URL
		}
	}
	_, err := i.Seek(0, io.SeekStart)
	return err
}
