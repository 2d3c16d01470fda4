package completion

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Webhook is an address of a tenant's to which notices are sent.
type Webhook struct {
	ID          string // "whk_" and a UUIDv7
	Tenant      string
	URL         string
	Secret      string    // signs what is sent, see NewWebhookSecret; it is kept as it is, for a hash could not sign
	OldSecret   string    // the one before, which signs along until OldUntil
	OldUntil    time.Time // zero: there is none
	Events      []string  // which notices are wanted, see ValidEvents
	Description string    // a label for people; may be empty
	Enabled     bool
	Disabled    string // why it is not enabled, if nobody asked for that; else empty
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// MaxWebhooks is how many webhooks one tenant may have.
const MaxWebhooks = 20

// SecretOverlap is how long the secret before a rotation signs along.
const SecretOverlap = 24 * time.Hour

// secretBytes is within the 24 to 64 random bytes of the Standard Webhooks specification.
const secretBytes = 32

// NewWebhook returns an enabled webhook with a secret of its own.
func NewWebhook(tenant, url string, events []string, at time.Time) Webhook {
	return Webhook{ID: newID("whk_"), Tenant: tenant, URL: url, Secret: NewWebhookSecret(), Events: events, Enabled: true, CreatedAt: at, UpdatedAt: at}
}

// NewWebhookSecret returns "whsec_" and 256 random bits in base64, as the Standard Webhooks specification has it.
func NewWebhookSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // crypto/rand.Read never fails: it ends the program instead
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// Secrets are those that sign now, the newest first.
func (w *Webhook) Secrets(now time.Time) []string {
	if w.OldSecret != "" && now.Before(w.OldUntil) {
		return []string{w.Secret, w.OldSecret}
	}
	return []string{w.Secret}
}

// Wants reports whether notices of that type are to be sent to the webhook.
func (w *Webhook) Wants(notice string) bool {
	return slices.ContainsFunc(w.Events, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return open && strings.HasPrefix(notice, prefix) || pattern == notice
	})
}

// NoticeTest is the type of the notice that is sent when somebody tries a webhook out; it needs no subscription.
const NoticeTest = "webhook.test"

// NoticeTypes are the types of notices that webhooks can ask for. A job of /v1/responses has one of either kind, a line of a batch has none.
var NoticeTypes = []string{
	"job.completed", "job.failed", "job.cancelled", "job.expired",
	"response.completed", "response.failed", "response.incomplete", "response.cancelled",
	"batch.completed", "batch.failed", "batch.expired", "batch.cancelled",
}

// ValidEvents reports what is wrong with a webhook's list of events: each is one of NoticeTypes, or the first part of
// some with a star, as job.*, or a star alone for all.
func ValidEvents(events []string) error {
	if len(events) == 0 {
		return errors.New("want at least one type of event")
	}
	for _, e := range events {
		only := Webhook{Events: []string{e}}
		if e != "*" && strings.HasSuffix(e, "*") && !strings.HasSuffix(e, ".*") || !slices.ContainsFunc(NoticeTypes, only.Wants) {
			return fmt.Errorf("there is no event %q; want some of %s, or * in place of a last part", e, strings.Join(NoticeTypes, ", "))
		}
	}
	return nil
}

// Notice is one thing that happened and that webhooks tell of, on the wire an event as OpenAI's webhooks have it; the
// word event means a message of a job's stream here.
type Notice struct {
	ID     string // "evt_" and 32 hexadecimal digits
	Tenant string
	Type   string
	Data   json.RawMessage
	At     time.Time
}

// NewNotice returns a notice with an id of its own.
func NewNotice(tenant, typ string, data json.RawMessage, at time.Time) Notice {
	return Notice{ID: newID("evt_"), Tenant: tenant, Type: typ, Data: data, At: at}
}

// Body is what is signed and sent.
func (n *Notice) Body() ([]byte, error) {
	return json.Marshal(struct {
		ID        string          `json:"id"`
		Object    string          `json:"object"`
		Type      string          `json:"type"`
		CreatedAt int64           `json:"created_at"`
		Data      json.RawMessage `json:"data"`
	}{n.ID, "event", n.Type, n.At.Unix(), n.Data})
}

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "pending"   // to be sent, for the first time or again
	DeliveryDelivered DeliveryState = "delivered" // the receiver took it
	DeliveryFailed    DeliveryState = "failed"    // it was not taken within GiveUpAfter
)

// GiveUpAfter is how long a delivery is tried.
const GiveUpAfter = 72 * time.Hour

// Delivery is one notice on its way to one webhook. The zero time means "not yet".
type Delivery struct {
	ID         string // "dlv_" and a UUIDv7
	Tenant     string
	Webhook    string
	Notice     string // the notice's id, the same in all deliveries and attempts
	Type       string // the notice's
	Body       []byte
	State      DeliveryState
	Attempts   int // how often it was sent
	Tries      int // how often since it was made, or since somebody asked for it again
	NextAt     time.Time
	LastAt     time.Time
	LastStatus int    // HTTP status of the latest answer; 0: there was none
	LastError  string // why the latest attempt failed; empty: it did not
	CreatedAt  time.Time
	ExpiresAt  time.Time // it is not sent again after this
	EndedAt    time.Time
}

// NewDelivery returns a delivery of n to a webhook, to be sent at once.
func NewDelivery(n *Notice, webhook string, at time.Time) (Delivery, error) {
	body, err := n.Body()
	if err != nil {
		return Delivery{}, fmt.Errorf("encode notice %s: %w", n.ID, err)
	}
	return Delivery{
		ID: newID("dlv_"), Tenant: n.Tenant, Webhook: webhook, Notice: n.ID, Type: n.Type, Body: body, State: DeliveryPending,
		NextAt: at, CreatedAt: at, ExpiresAt: at.Add(GiveUpAfter),
	}, nil
}
