package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sluice/shared/completion"
)

// Conversation is a conversation as the API shows it.
type Conversation struct {
	ID         string                `json:"id"`
	Name       string                `json:"name"` // empty: none yet
	System     string                `json:"system"`
	Parameters completion.Parameters `json:"parameters"`
	Owner      string                `json:"owner"`
	Metadata   map[string]string     `json:"metadata"`
	Head       string                `json:"head"`    // the last message of the path that goes on; empty: nothing was said
	Version    int64                 `json:"version"` // how often it has changed
	Live       []string              `json:"live"`    // jobs of turns that have not ended
	Match      *Match                `json:"match"`   // only of a list that was searched; nil: its name alone matches
	Subject    string                `json:"subject"` // on which its change notes are
	Stream     Stream                `json:"stream"`
	EventsURL  string                `json:"events_url"`
	CreatedAt  time.Time             `json:"created_at"`
	UpdatedAt  time.Time             `json:"updated_at"`
	ActiveAt   time.Time             `json:"active_at"` // when something was last said
}

// Match is where a search has found what it looked for.
type Match struct {
	Message string `json:"message"` // its id
	Snippet string `json:"snippet"`
}

// ConversationCreation is what a conversation is made of; everything may be missing.
type ConversationCreation struct {
	Name       string                `json:"name,omitempty"`   // empty: one is found after the first answer
	System     string                `json:"system,omitempty"` // empty: the tenant's
	Parameters completion.Parameters `json:"parameters,omitzero"`
	Owner      string                `json:"owner,omitempty"`
	Metadata   map[string]string     `json:"metadata,omitempty"`
	Messages   []Said                `json:"messages,omitempty"` // what was said elsewhere
	Key        string                `json:"-"`                  // idempotency key; empty: none
}

// Said is a message that is to be taken over.
type Said struct {
	Role    completion.Role `json:"role"`
	Content any             `json:"content"` // a string or, of a user, a list of parts
}

// CreateConversation makes a conversation. With the key of an earlier one of the same content, it returns that.
func (c *Client) CreateConversation(ctx context.Context, n ConversationCreation) (Conversation, error) {
	return c.conversation(ctx, http.MethodPost, conversationPath(""), n, n.Key)
}

// Conversation reads a conversation, without its messages.
func (c *Client) Conversation(ctx context.Context, id string) (Conversation, error) {
	return c.conversation(ctx, http.MethodGet, conversationPath(id), nil, "")
}

// ConversationQuery narrows and pages a list of conversations. The zero value is the first page of everything.
type ConversationQuery struct {
	Owner  string // empty: everybody's
	Search string // in names and messages, whatever the case; empty: all
	Limit  int    // 0: the server's default
	After  string // the last id of the page before
}

// Conversations reads one page of conversations, what was last said first, and whether there are more.
func (c *Client) Conversations(ctx context.Context, q ConversationQuery) (conversations []Conversation, more bool, err error) {
	v := pageOf(q.After, q.Limit, false)
	if q.Owner != "" {
		v.Set("owner", q.Owner)
	}
	if q.Search != "" {
		v.Set("q", q.Search)
	}
	var page struct {
		Data    []Conversation `json:"data"`
		HasMore bool           `json:"has_more"`
	}
	err = c.call(ctx, http.MethodGet, conversationPath("")+"?"+v.Encode(), nil, nil, &page)
	return page.Data, page.HasMore, err
}

// ConversationChange is what becomes different of a conversation; what is nil or empty stays as it is.
type ConversationChange struct {
	Name       *string                `json:"name,omitempty"`
	System     *string                `json:"system,omitempty"` // only before something was said
	Parameters *completion.Parameters `json:"parameters,omitempty"`
	Owner      *string                `json:"owner,omitempty"`
	Metadata   map[string]string      `json:"metadata,omitempty"`
	Branch     string                 `json:"branch,omitempty"` // a message: the newest branch below it is what goes on
}

// ChangeConversation changes a conversation.
func (c *Client) ChangeConversation(ctx context.Context, id string, change ConversationChange) (Conversation, error) {
	return c.conversation(ctx, http.MethodPatch, conversationPath(id), change, "")
}

// DeleteConversation deletes a conversation; what is being answered in it is cancelled.
func (c *Client) DeleteConversation(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, conversationPath(id), nil, nil, &struct{}{})
}

// CloneConversation makes a new conversation of the path up to a message; an empty message means the last one that is
// whole. An empty name means that of the old one.
func (c *Client) CloneConversation(ctx context.Context, id, name, message string) (Conversation, error) {
	body := struct {
		Name    string `json:"name,omitempty"`
		Message string `json:"message,omitempty"`
	}{name, message}
	return c.conversation(ctx, http.MethodPost, conversationPath(id)+"/clone", body, "")
}

// Complete answers content as the conversation would, and stores nothing in it. The job's result has the answer.
func (c *Client) Complete(ctx context.Context, id string, content any, p completion.Parameters) (Job, error) {
	body := struct {
		Content    any                   `json:"content"`
		Parameters completion.Parameters `json:"parameters,omitzero"`
	}{content, p}
	return c.aside(ctx, id, "/completions", body)
}

// Suggest looks for up to count things that the user may say next; 0 means the server's default. The job's result has them.
func (c *Client) Suggest(ctx context.Context, id string, count int) (Job, error) {
	body := struct {
		Count int `json:"count,omitempty"`
	}{count}
	return c.aside(ctx, id, "/suggestions", body)
}

// NameConversation has a name found for a conversation that has none. A change note tells of it.
func (c *Client) NameConversation(ctx context.Context, id string) (Job, error) {
	return c.aside(ctx, id, "/name", struct{}{})
}

// ConversationCredential asks for a credential that opens the conversation's subject.
func (c *Client) ConversationCredential(ctx context.Context, id string) (Credential, error) {
	var cred Credential
	err := c.call(ctx, http.MethodPost, conversationPath(id)+"/credential", nil, nil, &cred)
	return cred, err
}

func (c *Client) aside(ctx context.Context, id, act string, body any) (Job, error) {
	var job Job
	err := c.post(ctx, http.MethodPost, conversationPath(id)+act, body, "", &job)
	return job, err
}

func (c *Client) conversation(ctx context.Context, method, path string, body any, key string) (Conversation, error) {
	var n Conversation
	err := c.post(ctx, method, path, body, key, &n)
	return n, err
}

// post is call with a body that is still to be encoded; nil is none. An empty key is none, too.
func (c *Client) post(ctx context.Context, method, path string, body any, key string, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode %s %s: %w", method, path, err)
		}
	}
	return c.call(ctx, method, path, text, http.Header{"Idempotency-Key": {key}}, into)
}

func conversationPath(id string) string {
	if id == "" {
		return "/v1/conversations"
	}
	return "/v1/conversations/" + url.PathEscape(id)
}
