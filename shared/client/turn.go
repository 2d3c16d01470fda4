package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/shared/completion"
)

// Message is a message of a conversation as the API shows it.
type Message struct {
	ID           string            `json:"id"` // of an answer: its job's
	Conversation string            `json:"conversation"`
	Parent       string            `json:"parent"` // the message that this one follows; empty: it is a first one
	Seq          int               `json:"seq"`    // in the order in which the conversation's messages came, from 1
	Role         completion.Role   `json:"role"`
	State        completion.State  `json:"state"`
	Content      json.RawMessage   `json:"content"` // a string, a list of parts, or null
	Model        string            `json:"model"`
	Usage        json.RawMessage   `json:"usage"`
	FinishReason string            `json:"finish_reason"`
	Error        *completion.Error `json:"error"` // why there is no (whole) answer
	Rating       int               `json:"rating"`
	Comment      string            `json:"comment"`
	Siblings     []string          `json:"siblings"` // messages with the same parent, by seq, this one included
	CreatedAt    time.Time         `json:"created_at"`
	FinishedAt   time.Time         `json:"finished_at"`
}

// Text is what a message says: its string, or the texts of its parts with newlines between them.
func (m *Message) Text() string {
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(m.Content, &parts) // what is no list has no texts
	var said []string
	for _, p := range parts {
		if p.Text != "" {
			said = append(said, p.Text)
		}
	}
	return strings.Join(said, "\n")
}

// Turn is an accepted turn: the job that makes the answer, and the messages that came of it.
type Turn struct {
	Job
	Messages []Message `json:"messages"` // the user's, unless an old one is answered again, and the answer, whose id is the job's
}

// Say is what a turn is made of.
type Say struct {
	Content    any                   `json:"content,omitempty"` // a string or a list of parts; nil to answer again
	Policy     completion.Policy     `json:"policy,omitempty"`  // what becomes of a turn that is under way; empty: the server's default
	Parameters completion.Parameters `json:"parameters,omitzero"`
	Metadata   map[string]string     `json:"metadata,omitempty"`
	Timeout    float64               `json:"timeout,omitempty"` // seconds until the job must have ended; 0: the default
	Key        string                `json:"-"`                 // idempotency key; empty: none
}

// Turn says something in a conversation. Follow or View of the job's id has the answer while it comes.
func (c *Client) Turn(ctx context.Context, conversation string, s Say) (Turn, error) {
	return c.turn(ctx, messagePath(conversation, ""), s)
}

// Edit says something in place of a user's message, which stays, with all that follows it, as a branch.
func (c *Client) Edit(ctx context.Context, conversation, message string, s Say) (Turn, error) {
	return c.turn(ctx, messagePath(conversation, message)+"/edit", s)
}

// Regenerate answers the last question anew; the answer that there is stays as a branch.
func (c *Client) Regenerate(ctx context.Context, conversation string, s Say) (Turn, error) {
	return c.turn(ctx, conversationPath(conversation)+"/regenerate", s)
}

// MessageQuery says which messages of a conversation are wanted. The zero value is the last ones of the path that goes on.
type MessageQuery struct {
	Branch string // a message: the newest branch below it instead
	Limit  int    // 0: the server's default
	Before string // the first id of the page that was read
}

// Messages reads one page of messages, the oldest first, and whether there are older ones.
func (c *Client) Messages(ctx context.Context, conversation string, q MessageQuery) (messages []Message, more bool, err error) {
	v := url.Values{}
	for name, value := range map[string]string{"branch": q.Branch, "before": q.Before} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	var page struct {
		Data    []Message `json:"data"`
		HasMore bool      `json:"has_more"`
	}
	err = c.call(ctx, http.MethodGet, messagePath(conversation, "")+"?"+v.Encode(), nil, nil, &page)
	return page.Data, page.HasMore, err
}

// Message reads one message of a conversation.
func (c *Client) Message(ctx context.Context, conversation, message string) (Message, error) {
	var m Message
	err := c.call(ctx, http.MethodGet, messagePath(conversation, message), nil, nil, &m)
	return m, err
}

// DeleteMessage deletes a message and all that follows it.
func (c *Client) DeleteMessage(ctx context.Context, conversation, message string) error {
	return c.call(ctx, http.MethodDelete, messagePath(conversation, message), nil, nil, &struct{}{})
}

// Rate says what an answer is worth: 1, -1, or 0 to take it back. The comment may be empty.
func (c *Client) Rate(ctx context.Context, conversation, message string, rating int, comment string) (Message, error) {
	body := struct {
		Rating  int    `json:"rating"`
		Comment string `json:"comment,omitempty"`
	}{rating, comment}
	var m Message
	err := c.post(ctx, http.MethodPut, messagePath(conversation, message)+"/rating", body, "", &m)
	return m, err
}

func (c *Client) turn(ctx context.Context, path string, s Say) (Turn, error) {
	var t Turn
	err := c.post(ctx, http.MethodPost, path, s, s.Key, &t)
	return t, err
}

// messagePath is that of a conversation's message; an empty one means all of them.
func messagePath(conversation, message string) string {
	path := conversationPath(conversation) + "/messages"
	if message != "" {
		path += "/" + url.PathEscape(message)
	}
	return path
}
