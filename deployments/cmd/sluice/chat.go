package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type chatCmd struct {
	remote
	Conversation string `short:"c" placeholder:"ID" xor:"start" help:"Go on with this conversation; by default a new one begins with the first message."`
	System       string `short:"s" xor:"start" help:"System message of a new conversation; by default the tenant's."`
	Model        string `short:"m" env:"SLUICE_MODEL" help:"Model to ask; by default the conversation's, or else the server's."`
	Owner        string `help:"End user that a new conversation belongs to."`
}

// Help is kong's.
func (c *chatCmd) Help() string {
	return "Each line of standard input is a message; one that ends in a backslash goes on in the next line. Ctrl-C stops an answer, and leaves where there is none. " +
		"Leaving loses nothing: an answer goes on, and --conversation has it."
}

// Run is kong's.
func (c *chatCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		s := chat{api: api, t: t, typed: isTerminal(t.in), parameters: completion.Parameters{Model: c.Model}}
		s.begin = client.ConversationCreation{System: c.System, Owner: c.Owner, Parameters: s.parameters}
		if c.Conversation != "" {
			if err := s.resume(ctx, c.Conversation); err != nil {
				return err
			}
		}
		return s.run(ctx)
	})
}

// chat is one person, or program, that talks in one conversation.
type chat struct {
	api        *client.Client
	t          *terminal
	typed      bool // by a person, who wants a prompt and goes on after a fault
	begin      client.ConversationCreation
	id         string // of the conversation; empty: it has not begun
	parameters completion.Parameters
	branches   []string // messages, as branches has listed them
}

var errLeave = errors.New("the user leaves")

// resume goes on with a conversation; a person sees where it was, and the answer that is under way.
func (c *chat) resume(ctx context.Context, id string) error {
	if _, err := c.api.Conversation(ctx, id); err != nil {
		return err
	}
	if c.id = id; !c.typed {
		return nil
	}
	return c.recall(ctx)
}

// recall shows the last question and its answer.
func (c *chat) recall(ctx context.Context) error {
	last, _, err := c.api.Messages(ctx, c.id, client.MessageQuery{Limit: 2})
	if err != nil {
		return err
	}
	for _, m := range last {
		switch {
		case m.Role == completion.RoleUser:
			fmt.Fprintf(c.t.err, "> %s\n", m.Text())
		case !m.State.Final():
			return c.answer(ctx, m.ID)
		default:
			fmt.Fprintln(c.t.out, m.Text())
		}
	}
	return nil
}

// run does line by line what is read, until there is no more of it.
func (c *chat) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lines, broken := read(ctx, c.t.in)
	if c.typed {
		fmt.Fprintln(c.t.err, "/help says what there is; Ctrl-C stops an answer, or leaves.")
	}
	for {
		if c.typed {
			fmt.Fprint(c.t.err, "> ")
		}
		var text string
		var ok bool
		select {
		case text, ok = <-lines:
		case <-c.t.interrupts:
			fmt.Fprintln(c.t.err)
			return &exitError{status: interrupted}
		case <-ctx.Done():
			return &exitError{status: interrupted}
		}
		if !ok {
			return <-broken
		}
		err := c.do(ctx, text)
		switch {
		case errors.Is(err, errLeave):
			return nil
		case err == nil:
		case ctx.Err() != nil:
			return &exitError{status: interrupted}
		case !c.typed || errors.As(err, new(*exitError)):
			return err
		default:
			fmt.Fprintln(c.t.err, "sluice:", err)
		}
	}
}

// read reads messages until the end of in, which closes lines; broken then has why, nil if that is all there was.
func read(ctx context.Context, in io.Reader) (lines <-chan string, broken <-chan error) {
	out, end := make(chan string), make(chan error, 1) // lines wait until the one before is done
	go func() {
		defer close(out)
		from := bufio.NewReader(in)
		for text := ""; ; {
			line, err := from.ReadString('\n')
			more, goesOn := strings.CutSuffix(strings.TrimRight(line, "\r\n"), `\`)
			if text += more; goesOn && err == nil {
				text += "\n"
				continue
			}
			if text != "" {
				select {
				case out <- text:
				case <-ctx.Done():
					return
				}
			}
			if text = ""; err != nil {
				if !errors.Is(err, io.EOF) {
					end <- fmt.Errorf("read what is said: %w", err)
				}
				close(end)
				return
			}
		}
	}()
	return out, end
}

// do does what one line asks for.
func (c *chat) do(ctx context.Context, text string) error {
	text = strings.TrimSpace(text)
	switch said, quoted := strings.CutPrefix(text, "//"); {
	case quoted:
		return c.say(ctx, "/"+said)
	case strings.HasPrefix(text, "/"):
		name, rest, _ := strings.Cut(text[1:], " ")
		return c.act(ctx, name, strings.TrimSpace(rest))
	case text == "":
		return nil
	}
	return c.say(ctx, text)
}

// say says something, in a new conversation if there is none yet.
func (c *chat) say(ctx context.Context, text string) error {
	if c.id == "" {
		n, err := c.api.CreateConversation(ctx, c.begin)
		if err != nil {
			return err
		}
		c.id, c.parameters = n.ID, completion.Parameters{} // the conversation has them
		fmt.Fprintln(c.t.err, n.ID)
	}
	turn, err := c.api.Turn(ctx, c.id, client.Say{Content: text, Parameters: c.parameters})
	if err != nil {
		return err
	}
	return c.answer(ctx, turn.ID)
}

// answer prints an answer while it comes. Ctrl-C stops it, and another one does not wait for its end.
func (c *chat) answer(ctx context.Context, job string) error {
	ctx, leave := context.WithCancelCause(ctx)
	over, watched := make(chan struct{}), make(chan error, 1)
	go func() { watched <- c.watch(ctx, over, job, leave) }()
	err := follow(ctx, c.api, job, 0, false, c.t)
	close(over)
	stopped := <-watched
	leave(nil)
	switch {
	case stopped == nil:
		return err
	case c.typed && !errors.Is(context.Cause(ctx), errLeave):
		fmt.Fprintln(c.t.err, stopped)
		return nil
	}
	return &exitError{status: interrupted}
}

// watch waits for Ctrl-C until the answer is over, and says how it has stopped it; nil: it has not.
func (c *chat) watch(ctx context.Context, over <-chan struct{}, job string, leave context.CancelCauseFunc) error {
	select {
	case <-over:
		return nil
	case <-c.t.interrupts:
	}
	stopped := errors.New("stopped")
	if _, err := c.api.Cancel(ctx, job); err != nil {
		stopped = fmt.Errorf("stop %s: %w", job, err)
	}
	select {
	case <-over:
	case <-c.t.interrupts:
		leave(errLeave)
	}
	return stopped
}
