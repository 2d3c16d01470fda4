package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"sluice/shared/client"
	"sluice/shared/completion"
)

// chatAct is something that a line asks for which is no message.
type chatAct struct {
	name, takes, help string
	begun             bool // it needs a conversation
	do                func(c *chat, ctx context.Context, rest string) error
}

var chatActs = []chatAct{
	{"regenerate", "", "answer the last question anew", true, (*chat).regenerate},
	{"edit", "TEXT", "ask the last question in other words", true, (*chat).edit},
	{"branches", "", "list where the conversation has more than one way", true, (*chat).listBranches},
	{"branch", "NUMBER", "go on there, as /branches has numbered it", true, (*chat).branch},
	{"name", "[NAME]", "name the conversation, or show its name", true, (*chat).name},
	{"quit", "", "leave; so do Ctrl-D, and Ctrl-C where no answer comes", false, func(*chat, context.Context, string) error { return errLeave }},
}

// act does what begins with a slash.
func (c *chat) act(ctx context.Context, name, rest string) error {
	if name == "help" {
		return c.help()
	}
	for _, a := range chatActs {
		switch {
		case a.name != name:
		case a.begun && c.id == "":
			return errors.New("nothing was said yet")
		default:
			return a.do(c, ctx, rest)
		}
	}
	return fmt.Errorf("there is no /%s: /help says what there is, and //%s says it to the model", name, name)
}

func (c *chat) help() error {
	w := tabwriter.NewWriter(c.t.err, 0, 0, 2, ' ', 0)
	for _, a := range chatActs {
		fmt.Fprintf(w, "/%s %s\t%s\n", a.name, a.takes, a.help)
	}
	fmt.Fprintln(w, "//TEXT\tsay something that begins with a slash")
	fmt.Fprintln(w, "TEXT\\\tsay something of several lines")
	return w.Flush()
}

func (c *chat) regenerate(ctx context.Context, _ string) error {
	turn, err := c.api.Regenerate(ctx, c.id, client.Say{Parameters: c.parameters})
	if err != nil {
		return err
	}
	return c.answer(ctx, turn.ID)
}

func (c *chat) edit(ctx context.Context, text string) error {
	if text == "" {
		return errors.New("in which words? /edit TEXT")
	}
	path, _, err := c.api.Messages(ctx, c.id, client.MessageQuery{})
	if err != nil {
		return err
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i].Role != completion.RoleUser {
			continue
		}
		turn, err := c.api.Edit(ctx, c.id, path[i].ID, client.Say{Content: text, Parameters: c.parameters})
		if err != nil {
			return err
		}
		return c.answer(ctx, turn.ID)
	}
	return errors.New("nothing was asked yet")
}

func (c *chat) name(ctx context.Context, name string) error {
	n, err := c.api.Conversation(ctx, c.id)
	if err == nil && name != "" {
		n, err = c.api.ChangeConversation(ctx, c.id, client.ConversationChange{Name: &name})
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(c.t.err, n.Name)
	return nil
}

// listBranches numbers all messages that stand beside others; a star marks those of the path that goes on.
func (c *chat) listBranches(ctx context.Context, _ string) error {
	path, err := whole(ctx, c.api, c.id, "")
	if err != nil {
		return err
	}
	c.branches = nil
	w := tabwriter.NewWriter(c.t.out, 0, 0, 2, ' ', 0)
	for _, m := range path {
		if len(m.Siblings) < 2 {
			continue
		}
		for _, id := range m.Siblings {
			one, mark := m, "*"
			if id != m.ID {
				if one, err = c.api.Message(ctx, c.id, id); err != nil {
					return err
				}
				mark = ""
			}
			c.branches = append(c.branches, id)
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", len(c.branches), mark, one.Role, brief(one.Text()))
		}
	}
	if len(c.branches) == 0 {
		fmt.Fprintln(c.t.err, "there is one way only; /regenerate and /edit make others")
	}
	return w.Flush()
}

func (c *chat) branch(ctx context.Context, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(c.branches) {
		return errors.New("which one? /branches lists and numbers them, /branch NUMBER goes there")
	}
	if _, err := c.api.ChangeConversation(ctx, c.id, client.ConversationChange{Branch: c.branches[n-1]}); err != nil {
		return err
	}
	return c.recall(ctx)
}

// brief is the start of a text, in one line.
func brief(text string) string {
	const most = 60
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) <= most {
		return string(line)
	}
	return string(line[:most-1]) + "…"
}
