package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sluice/shared/client"
	"sluice/shared/completion"
)

type conversationsCmd struct {
	List   conversationListCmd   `cmd:"" help:"List conversations, what was last said first."`
	Get    conversationGetCmd    `cmd:"" help:"Show a conversation, without its messages."`
	Delete conversationDeleteCmd `cmd:"" help:"Delete a conversation; what is being answered in it is cancelled."`
	Export conversationExportCmd `cmd:"" help:"Print a conversation with its messages."`
}

type conversationListCmd struct {
	remote
	Owner  string `help:"Only those of this end user."`
	Search string `help:"Only those that have this text in their name or in a message."`
	Limit  int    `default:"20" help:"At most this many."`
}

// Run is kong's.
func (c *conversationListCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tACTIVE\tOWNER\tNAME\tFOUND")
		for q, left := (client.ConversationQuery{Owner: c.Owner, Search: c.Search}), c.Limit; left > 0; {
			q.Limit = min(left, 100)
			page, more, err := api.Conversations(ctx, q)
			if err != nil {
				return err
			}
			for _, n := range page {
				found := ""
				if n.Match != nil {
					found = strings.Join(strings.Fields(n.Match.Snippet), " ") // it is short
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.ID, n.ActiveAt.Local().Format(time.DateTime), n.Owner, brief(n.Name), found)
				q.After = n.ID
			}
			if left -= len(page); !more {
				break
			}
		}
		return w.Flush()
	})
}

// talkedIn is a command for one conversation.
type talkedIn struct {
	remote
	ID string `arg:"" help:"The conversation's id."`
}

type conversationGetCmd struct{ talkedIn }

// Run is kong's.
func (c *conversationGetCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		n, err := api.Conversation(ctx, c.ID)
		if err != nil {
			return err
		}
		return printJSON(t, n)
	})
}

type conversationDeleteCmd struct{ talkedIn }

// Run is kong's.
func (c *conversationDeleteCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		if err := api.DeleteConversation(ctx, c.ID); err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is deleted\n", c.ID)
		return nil
	})
}

type conversationExportCmd struct {
	talkedIn
	Branch string `placeholder:"MESSAGE" help:"The newest branch below this message, instead of the one that goes on."`
	Format string `short:"f" default:"markdown" enum:"markdown,json" help:"markdown or json."`
}

// Run is kong's.
func (c *conversationExportCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(t, func(api *client.Client) error {
		n, err := api.Conversation(ctx, c.ID)
		if err != nil {
			return err
		}
		said, err := whole(ctx, api, c.ID, c.Branch)
		if err != nil {
			return err
		}
		if c.Format == "json" {
			return printJSON(t, struct {
				client.Conversation
				Messages []client.Message `json:"messages"`
			}{n, said})
		}
		writeMarkdown(t.out, n, said)
		return nil
	})
}

// whole reads all messages of a path, the oldest first.
func whole(ctx context.Context, api *client.Client, id, branch string) ([]client.Message, error) {
	var said []client.Message
	q := client.MessageQuery{Branch: branch, Limit: 200}
	for more := true; more; {
		var page []client.Message
		var err error
		if page, more, err = api.Messages(ctx, id, q); err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		said = append(page, said...)
		q.Before = page[0].ID
	}
	return slices.Clip(said), nil
}

// writeMarkdown writes a conversation for people.
func writeMarkdown(w io.Writer, n client.Conversation, said []client.Message) {
	name := n.Name
	if name == "" {
		name = n.ID
	}
	fmt.Fprintf(w, "# %s\n", name)
	if n.System != "" {
		fmt.Fprintf(w, "\n> %s\n", strings.ReplaceAll(n.System, "\n", "\n> "))
	}
	for _, m := range said {
		who := "User"
		if m.Role == completion.RoleAssistant {
			who = "Assistant"
		}
		if m.Model != "" {
			who += " (" + m.Model + ")"
		}
		fmt.Fprintf(w, "\n## %s\n\n%s\n", who, prose(m))
		if m.Error != nil {
			fmt.Fprintf(w, "\n*%s: %s*\n", m.State, m.Error.Message)
		}
	}
}

// prose is a message's text; what is no text is named.
func prose(m client.Message) string {
	var parts []struct{ Type, Text string }
	if json.Unmarshal(m.Content, &parts) != nil {
		return strings.TrimSpace(m.Text())
	}
	var all []string
	for _, p := range parts {
		if p.Text == "" {
			p.Text = "*[" + p.Type + "]*"
		}
		all = append(all, p.Text)
	}
	return strings.Join(all, "\n\n")
}
