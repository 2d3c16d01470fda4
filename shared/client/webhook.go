package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/shared/completion"
)

// Webhook is a webhook as the API shows it.
type Webhook struct {
	ID             string    `json:"id"`
	URL            string    `json:"url"`
	Secret         string    `json:"secret"` // only of one just made, or given a new secret
	Events         []string  `json:"events"`
	Description    string    `json:"description"`
	Enabled        bool      `json:"enabled"`
	DisabledReason string    `json:"disabled_reason"`
	OldSecretUntil time.Time `json:"old_secret_until"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// WebhookCreation is what a webhook is made of.
type WebhookCreation struct {
	URL         string   `json:"url"`
	Events      []string `json:"events,omitempty"` // nil: all
	Description string   `json:"description,omitempty"`
}

// WebhookChange is what becomes different of a webhook; what is nil stays as it is.
type WebhookChange struct {
	URL         *string  `json:"url,omitempty"`
	Events      []string `json:"events,omitempty"`
	Description *string  `json:"description,omitempty"`
	Enabled     *bool    `json:"enabled,omitempty"`
}

// Delivery is one event on its way to one webhook.
type Delivery struct {
	ID            string                   `json:"id"`
	Webhook       string                   `json:"webhook"`
	State         completion.DeliveryState `json:"state"`
	Type          string                   `json:"type"`
	Event         json.RawMessage          `json:"event"`
	Attempts      int                      `json:"attempts"`
	NextAttemptAt time.Time                `json:"next_attempt_at"`
	LastAttemptAt time.Time                `json:"last_attempt_at"`
	LastStatus    int                      `json:"last_status"`
	LastError     string                   `json:"last_error"`
	CreatedAt     time.Time                `json:"created_at"`
	EndedAt       time.Time                `json:"ended_at"`
}

// DeliveryQuery narrows and pages a list of deliveries. The zero value is the first page of everything, newest first.
type DeliveryQuery struct {
	State completion.DeliveryState
	Limit int    // 0: the server's default
	After string // the last id of the page before
}

// CreateWebhook registers a webhook.
func (c *Client) CreateWebhook(ctx context.Context, w WebhookCreation) (Webhook, error) {
	return c.webhook(ctx, http.MethodPost, "", w)
}

// Webhooks lists the tenant's webhooks, the oldest first.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var list struct {
		Data []Webhook `json:"data"`
	}
	err := c.call(ctx, http.MethodGet, webhookPath(""), nil, nil, &list)
	return list.Data, err
}

// Webhook reads a webhook.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	return c.webhook(ctx, http.MethodGet, id, nil)
}

// ChangeWebhook changes a webhook.
func (c *Client) ChangeWebhook(ctx context.Context, id string, change WebhookChange) (Webhook, error) {
	return c.webhook(ctx, http.MethodPost, id, change)
}

// DeleteWebhook deletes a webhook with its deliveries.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, webhookPath(id), nil, nil, &struct{}{})
}

// RotateWebhook gives a webhook a new secret; the old one signs along for a day.
func (c *Client) RotateWebhook(ctx context.Context, id string) (Webhook, error) {
	var w Webhook
	err := c.call(ctx, http.MethodPost, webhookPath(id)+"/rotate", nil, nil, &w)
	return w, err
}

// TestWebhook sends a webhook an event that means nothing.
func (c *Client) TestWebhook(ctx context.Context, id string) (Delivery, error) {
	return c.delivery(ctx, webhookPath(id)+"/test")
}

// Deliveries reads one page of a webhook's deliveries, newest first, and whether there are more.
func (c *Client) Deliveries(ctx context.Context, webhook string, q DeliveryQuery) (list []Delivery, more bool, err error) {
	v := url.Values{}
	for name, value := range map[string]string{"state": string(q.State), "after": q.After} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	var page struct {
		Data    []Delivery `json:"data"`
		HasMore bool       `json:"has_more"`
	}
	err = c.call(ctx, http.MethodGet, webhookPath(webhook)+"/deliveries?"+v.Encode(), nil, nil, &page)
	return page.Data, page.HasMore, err
}

// Resend sends a delivery again, whatever became of it.
func (c *Client) Resend(ctx context.Context, webhook, delivery string) (Delivery, error) {
	return c.delivery(ctx, webhookPath(webhook)+"/deliveries/"+url.PathEscape(delivery)+"/resend")
}

func webhookPath(id string) string {
	if id == "" {
		return "/v1/webhooks"
	}
	return "/v1/webhooks/" + url.PathEscape(id)
}

func (c *Client) webhook(ctx context.Context, method, id string, send any) (Webhook, error) {
	var body []byte
	if send != nil {
		var err error
		if body, err = json.Marshal(send); err != nil {
			return Webhook{}, fmt.Errorf("encode webhook: %w", err)
		}
	}
	var w Webhook
	err := c.call(ctx, method, webhookPath(id), body, nil, &w)
	return w, err
}

func (c *Client) delivery(ctx context.Context, path string) (Delivery, error) {
	var d Delivery
	err := c.call(ctx, http.MethodPost, path, nil, nil, &d)
	return d, err
}
