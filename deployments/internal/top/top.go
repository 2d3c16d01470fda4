// Package top is a live view of an installation in a terminal: lanes, workers, upstreams, rates and what has failed, as
// GET /v1/system says. It also prints the same once, as text or JSON.
//
// What is shown is a function of the Model alone, which is told the time, so that it is the same for the same input. What
// others have named (models, hosts, tenants) is shown without what would steer a terminal. Where the server is away, the
// last figures stay, marked as old. It leaves to others to read settings and to find out whether there is a terminal.
package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"sluice/shared/client"
)

// MinEvery is the shortest time between two looks.
const MinEvery = 200 * time.Millisecond

// Source is what is looked at; a client.Client with a key that has the scope system.
type Source interface {
	System(ctx context.Context) (client.System, error)
	Failures(ctx context.Context, limit int) ([]client.Failure, error)
}

// Config of a view.
type Config struct {
	Source Source
	Name   string             // what is looked at, shown in the first line; its address
	Every  time.Duration      // between two looks, at least MinEvery
	Say    func(error) string // what an error means, in one sentence
}

const (
	lookLimit     = 5 * time.Second // how long one look may take
	failuresLimit = 50              // failures that are shown
)

// Seen is what one look has found. Its JSON is what PrintJSON writes.
type Seen struct {
	System   client.System    `json:"system"`
	Failures []client.Failure `json:"failures"`
}

// Look reads everything once.
func Look(ctx context.Context, s Source) (Seen, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	system, err := s.System(ctx)
	if err != nil {
		return Seen{}, err
	}
	failures, err := s.Failures(ctx, failuresLimit)
	return Seen{System: system, Failures: failures}, err
}

// Run shows the view on a terminal until the user leaves or ctx ends, and leaves the terminal as it was. It returns what
// no patience mends: the server refuses the key.
func Run(ctx context.Context, c Config, in io.Reader, out io.Writer) error {
	looks, end := context.WithCancel(ctx)
	defer end()
	m := newModel(c)
	m.look = looker(looks, c.Source)
	program := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	last, err := program.Run()
	if err != nil && ctx.Err() == nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("show: %w", err)
	}
	if m, ok := last.(Model); ok {
		return m.fatal
	}
	return nil
}

// printWidth is that of the text that Print writes, in columns. It is for files and mails, which nobody scrolls sideways.
const printWidth = 160

// Print writes what was seen as text.
func Print(w io.Writer, name string, seen Seen) error {
	m := newModel(Config{Name: name})
	m.width, m.now = printWidth, seen.System.At
	m.take(seen, seen.System.At)
	_, err := io.WriteString(w, m.text())
	return err
}

// PrintJSON writes what was seen as one JSON object.
func PrintJSON(w io.Writer, seen Seen) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(seen)
}
