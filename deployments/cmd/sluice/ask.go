package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type askCmd struct {
	remote
	Prompt []string        `arg:"" optional:"" help:"The prompt; with - or without any it is read from standard input."`
	Model  string          `short:"m" env:"SLUICE_MODEL" default:"sim" help:"Model to ask."`
	System string          `short:"s" help:"System message."`
	Lane   completion.Lane `default:"interactive" help:"interactive or batch."`
	Limit  time.Duration   `name:"timeout" help:"Give up after this long, as 30s; by default the server decides."`
	JSON   bool            `name:"json" help:"Print each event as a line of JSON instead of the text."`
}

// Run is kong's.
func (c *askCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client(t)
	if err != nil {
		return err
	}
	request, err := c.request(t)
	if err != nil {
		return err
	}
	job, err := api.Submit(ctx, client.Submission{Request: request, Lane: c.Lane, Timeout: c.Limit.Seconds()})
	if err != nil {
		return err
	}
	fmt.Fprintln(t.err, job.ID)
	err = follow(ctx, api, job.ID, 0, c.JSON, t)
	if ctx.Err() == nil {
		return err
	}
	return cancelAfter(ctx, api, job.ID, t)
}

// cancelAfter cancels a job whose caller pressed Ctrl-C.
func cancelAfter(ctx context.Context, api *client.Client, id string, t *terminal) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if _, err := api.Cancel(ctx, id); err != nil {
		return &exitError{interrupted, fmt.Errorf("cancel %s: %w", id, err)}
	}
	fmt.Fprintln(t.err, "\ncancelled", id)
	return &exitError{status: interrupted}
}

// request builds the chat completion body.
func (c *askCmd) request(t *terminal) (json.RawMessage, error) {
	prompt := strings.Join(c.Prompt, " ")
	if prompt == "" || prompt == "-" {
		if prompt == "" && isTerminal(t.in) {
			return nil, errors.New(`what shall be asked? sluice ask "prompt", or the prompt on standard input`)
		}
		text, err := io.ReadAll(t.in)
		if err != nil {
			return nil, fmt.Errorf("read prompt: %w", err)
		}
		prompt = strings.TrimSpace(string(text))
	}
	if prompt == "" {
		return nil, errors.New("the prompt is empty")
	}
	return json.Marshal(map[string]any{"model": c.Model, "messages": messages(c.System, prompt)})
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// messages are those of a chat completion; an empty system is none.
func messages(system, prompt string) []message {
	if system == "" {
		return []message{{"user", prompt}}
	}
	return []message{{"system", system}, {"user", prompt}}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

type tailCmd struct {
	remote
	ID    string `arg:"" help:"The job's id."`
	After int64  `help:"Only events with a higher seq."`
	JSON  bool   `name:"json" help:"Print each event as a line of JSON instead of the text."`
}

// Run is kong's. Leaving does not touch the job.
func (c *tailCmd) Run(ctx context.Context, t *terminal) error {
	api, err := c.client(t)
	if err != nil {
		return err
	}
	err = follow(ctx, api, c.ID, c.After, c.JSON, t)
	if ctx.Err() != nil {
		return &exitError{status: interrupted}
	}
	return err
}

// follow prints a job's events and returns how it ended: nil if it completed.
func follow(ctx context.Context, api *client.Client, id string, after int64, raw bool, t *terminal) error {
	p := printer{t: t, raw: raw}
	for e, err := range api.Follow(ctx, id, after) {
		if err == nil {
			err = p.print(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// printer shows events to a person, or as lines of JSON.
type printer struct {
	t     *terminal
	raw   bool
	wrote strings.Builder // what was printed of the current attempt
}

func (p *printer) print(e completion.Event) error {
	if p.raw {
		line, err := e.Encode()
		if err != nil {
			return err
		}
		fmt.Fprintf(p.t.out, "%s\n", line)
	}
	switch e.Type {
	case completion.EventStarted:
		if p.wrote.Len() > 0 && !p.raw {
			fmt.Fprintf(p.t.err, "\n--- attempt %d begins anew ---\n", e.Attempt)
		}
		p.wrote.Reset()
	case completion.EventDelta:
		p.text(e.Chunks)
	case completion.EventRetrying:
		fmt.Fprintf(p.t.err, "\n%s Trying again.\n", e.Error.Message)
	case completion.EventStoring: // says nothing to a reader
	case completion.EventCompleted:
		p.end(e)
	default:
		p.newline()
		return fmt.Errorf("%s: %w", e.Type, e.Error)
	}
	return nil
}

func (p *printer) text(chunks []json.RawMessage) {
	for _, chunk := range chunks {
		text := gjson.GetBytes(chunk, "choices.#(index==0).delta.content").String()
		if text == "" || p.raw {
			continue
		}
		fmt.Fprint(p.t.out, text)
		p.wrote.WriteString(text)
	}
}

// end shows what is missing of the answer, where the log could not show all of its deltas.
func (p *printer) end(e completion.Event) {
	whole := gjson.GetBytes(e.Result, "choices.0.message.content").String()
	if said := p.wrote.String(); !p.raw && whole != "" && whole != said {
		rest, goesOn := strings.CutPrefix(whole, said)
		if !goesOn {
			fmt.Fprint(p.t.err, "\n--- the whole answer ---\n")
		}
		fmt.Fprint(p.t.out, rest)
		p.wrote.WriteString(rest)
	}
	p.newline()
}

func (p *printer) newline() {
	if p.wrote.Len() > 0 && !p.raw {
		fmt.Fprintln(p.t.out)
	}
}
