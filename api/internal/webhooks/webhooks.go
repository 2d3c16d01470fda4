// Package webhooks is the face with which a tenant manages its own webhooks under /v1/webhooks. It needs the scope admin, and
// reaches no other tenant's webhooks or deliveries (I8). A secret is shown once, in the answer that makes it. Package delivery
// sends.
package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/delivery"
	"sluice/api/internal/optional"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
	"sluice/shared/store"
)

// Store is where webhooks and deliveries are kept.
type Store interface {
	AddWebhook(ctx context.Context, w completion.Webhook) error
	Webhooks(ctx context.Context, tenant string) ([]completion.Webhook, error)
	Webhook(ctx context.Context, tenant, id string) (completion.Webhook, error)
	ChangeWebhook(ctx context.Context, tenant, id string, at time.Time, change func(*completion.Webhook) error) (completion.Webhook, error)
	DeleteWebhook(ctx context.Context, tenant, id string) error
	AddDelivery(ctx context.Context, d completion.Delivery) error
	Deliveries(ctx context.Context, tenant, webhook string, q store.DeliveryQuery) (page []completion.Delivery, next string, err error)
	Resend(ctx context.Context, tenant, webhook, id string, at time.Time) (completion.Delivery, error)
}

// face serves the routes.
type face struct {
	store   Store
	private bool // any address is allowed
	log     *slog.Logger
}

var tags = []string{"Webhooks"}

// Register adds the routes to api. With private, a webhook may have any address.
func Register(api huma.API, s Store, private bool, log *slog.Logger) {
	f := &face{store: s, private: private, log: log}
	needs := access.Needs(completion.ScopeAdmin)
	one := "/v1/webhooks/{id}"
	huma.Register(api, huma.Operation{
		OperationID: "create-webhook", Method: http.MethodPost, Path: "/v1/webhooks", Tags: tags, Errors: []int{400, 401, 403, 409, 503}, Security: needs,
		DefaultStatus: http.StatusCreated, Summary: "Register a webhook",
		Description: "Events of the tenant are sent to its URL from now on, signed as Standard Webhooks have it. The secret is shown this once.",
	}, f.create)
	huma.Register(api, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/v1/webhooks", Tags: tags, Errors: []int{401, 403, 503}, Security: needs,
		Summary: "List webhooks", Description: "The tenant's webhooks, the oldest first, without their secrets.",
	}, f.list)
	huma.Register(api, huma.Operation{
		OperationID: "get-webhook", Method: http.MethodGet, Path: one, Tags: tags, Errors: []int{401, 403, 404, 503}, Security: needs,
		Summary: "Read a webhook", Description: "Without its secret.",
	}, f.get)
	huma.Register(api, huma.Operation{
		OperationID: "update-webhook", Method: http.MethodPost, Path: one, Tags: tags, Errors: []int{400, 401, 403, 404, 503}, Security: needs,
		DefaultStatus: http.StatusOK, Summary: "Change a webhook", Description: "What is left out stays as it is. What is to be sent to a disabled webhook waits; " +
			"what happens while no webhook is enabled is not told later.",
	}, f.update)
	huma.Register(api, huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: one, Tags: tags, Errors: []int{401, 403, 404, 503}, Security: needs,
		DefaultStatus: http.StatusOK, Summary: "Delete a webhook", Description: "With all of its deliveries, sent or not.",
	}, f.remove)
	huma.Register(api, huma.Operation{
		OperationID: "rotate-webhook", Method: http.MethodPost, Path: one + "/rotate", Tags: tags, Errors: []int{401, 403, 404, 503}, Security: needs,
		DefaultStatus: http.StatusOK, Summary: "Give a webhook a new secret", Description: "It is shown this once. The old one signs along for 24 hours.",
	}, f.rotate)
	f.registerDeliveries(api, one, needs)
}

// Webhook is a webhook as clients see it.
type Webhook struct {
	ID             string     `json:"id" example:"whk_01933b1c5f6c7d8e9f00112233445566"`
	Object         string     `json:"object" enum:"webhook"`
	URL            string     `json:"url"`
	Secret         string     `json:"secret,omitempty" doc:"Only in the answers that make one: whsec_ and base64."`
	Events         []string   `json:"events"`
	Description    string     `json:"description"`
	Enabled        bool       `json:"enabled"`
	DisabledReason *string    `json:"disabled_reason" nullable:"true" doc:"Why it is not enabled, if nobody asked for that."`
	OldSecretUntil *time.Time `json:"old_secret_until" nullable:"true" doc:"The secret before the latest rotation signs along until then."`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
}

// WebhookList is all webhooks of the tenant, in the shape of OpenAI's lists.
type WebhookList struct {
	Object string    `json:"object" enum:"list"`
	Data   []Webhook `json:"data"`
}

// WebhookDeleted says what is no more.
type WebhookDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object" enum:"webhook"`
	Deleted bool   `json:"deleted"`
}

type webhookOutput struct{ Body Webhook }

type listOutput struct{ Body WebhookList }

type deletedOutput struct{ Body WebhookDeleted }

type idInput struct {
	ID string `path:"id" doc:"The webhook's id."`
}

// WebhookCreation is what a webhook is made of.
type WebhookCreation struct {
	URL         string   `json:"url" maxLength:"2048" doc:"Where to send, by https; private addresses are refused unless the installation allows them."`
	Events      []string `json:"events,omitempty" minItems:"1" maxItems:"64" doc:"Types of events, such as response.completed; job.* for all of a kind, * for all. By default *."`
	Description string   `json:"description,omitempty" maxLength:"256" doc:"A label."`
}

// WebhookChange is what becomes different of a webhook.
type WebhookChange struct {
	URL         *string  `json:"url,omitempty" maxLength:"2048" doc:"Where to send."`
	Events      []string `json:"events,omitempty" minItems:"1" maxItems:"64" doc:"Types of events."`
	Description *string  `json:"description,omitempty" maxLength:"256" doc:"A label."`
	Enabled     *bool    `json:"enabled,omitempty" doc:"Whether to send."`
}

type createInput struct {
	Body WebhookCreation `contentType:"application/json"`
}

type updateInput struct {
	ID   string        `path:"id" doc:"The webhook's id."`
	Body WebhookChange `contentType:"application/json"`
}

// check reports what is wrong with what a caller wants of a webhook.
func (f *face) check(w *completion.Webhook) error {
	if err := delivery.CheckURL(w.URL, f.private); err != nil {
		return err
	}
	if err := completion.ValidEvents(w.Events); err != nil {
		return completion.Invalid("events", "In the list of events: %s.", err)
	}
	return nil
}

func (f *face) create(ctx context.Context, in *createInput) (*webhookOutput, error) {
	w := completion.NewWebhook(access.Of(ctx).Tenant, in.Body.URL, in.Body.Events, time.Now())
	if w.Description = in.Body.Description; len(w.Events) == 0 {
		w.Events = []string{"*"}
	}
	err := f.check(&w)
	if err == nil {
		err = f.store.AddWebhook(ctx, w)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return withSecret(w), nil
}

func withSecret(w completion.Webhook) *webhookOutput {
	out := &webhookOutput{Body: view(w)}
	out.Body.Secret = w.Secret
	return out
}

func (f *face) list(ctx context.Context, _ *struct{}) (*listOutput, error) {
	all, err := f.store.Webhooks(ctx, access.Of(ctx).Tenant)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &listOutput{Body: WebhookList{Object: "list", Data: make([]Webhook, 0, len(all))}}
	for _, w := range all {
		out.Body.Data = append(out.Body.Data, view(w))
	}
	return out, nil
}

func (f *face) get(ctx context.Context, in *idInput) (*webhookOutput, error) {
	w, err := f.store.Webhook(ctx, access.Of(ctx).Tenant, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &webhookOutput{Body: view(w)}, nil
}

func (f *face) update(ctx context.Context, in *updateInput) (*webhookOutput, error) {
	w, err := f.store.ChangeWebhook(ctx, access.Of(ctx).Tenant, in.ID, time.Now(), func(w *completion.Webhook) error {
		if in.Body.URL != nil {
			w.URL = *in.Body.URL
		}
		if in.Body.Events != nil {
			w.Events = in.Body.Events
		}
		if in.Body.Description != nil {
			w.Description = *in.Body.Description
		}
		if in.Body.Enabled != nil {
			w.Enabled, w.Disabled = *in.Body.Enabled, ""
		}
		return f.check(w)
	})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &webhookOutput{Body: view(w)}, nil
}

func (f *face) remove(ctx context.Context, in *idInput) (*deletedOutput, error) {
	if err := f.store.DeleteWebhook(ctx, access.Of(ctx).Tenant, in.ID); err != nil {
		return nil, f.answer(ctx, err)
	}
	return &deletedOutput{Body: WebhookDeleted{ID: in.ID, Object: "webhook", Deleted: true}}, nil
}

func (f *face) rotate(ctx context.Context, in *idInput) (*webhookOutput, error) {
	now := time.Now()
	w, err := f.store.ChangeWebhook(ctx, access.Of(ctx).Tenant, in.ID, now, func(w *completion.Webhook) error {
		w.OldSecret, w.OldUntil, w.Secret = w.Secret, now.Add(completion.SecretOverlap), completion.NewWebhookSecret()
		return nil
	})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return withSecret(w), nil
}

// test has a notice of its own sent to one webhook, whatever that has subscribed to.
func (f *face) test(ctx context.Context, in *idInput) (*deliveryOutput, error) {
	w, err := f.store.Webhook(ctx, access.Of(ctx).Tenant, in.ID)
	if err == nil && !w.Enabled {
		err = completion.NewError(completion.CodeInvalidRequest, "The webhook is not enabled.")
	}
	var d completion.Delivery
	if err == nil {
		d, err = f.sendTest(ctx, &w)
	}
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &deliveryOutput{Body: viewDelivery(d)}, nil
}

func (f *face) sendTest(ctx context.Context, w *completion.Webhook) (completion.Delivery, error) {
	data, err := json.Marshal(map[string]string{"id": w.ID})
	if err != nil {
		return completion.Delivery{}, fmt.Errorf("encode test of webhook %s: %w", w.ID, err)
	}
	now := time.Now()
	n := completion.NewNotice(w.Tenant, completion.NoticeTest, data, now)
	d, err := completion.NewDelivery(&n, w.ID, now)
	if err != nil {
		return completion.Delivery{}, err
	}
	return d, f.store.AddDelivery(ctx, d)
}

func view(w completion.Webhook) Webhook {
	v := Webhook{
		ID: w.ID, Object: "webhook", URL: w.URL, Events: w.Events, Description: w.Description, Enabled: w.Enabled,
		DisabledReason: optional.Of(w.Disabled), CreatedAt: w.CreatedAt.UTC(), UpdatedAt: w.UpdatedAt.UTC(),
	}
	if now := time.Now(); now.Before(w.OldUntil) {
		v.OldSecretUntil = optional.Time(w.OldUntil)
	}
	return v
}

func (f *face) answer(ctx context.Context, err error) error { return problem.Answer(ctx, f.log, err) }
