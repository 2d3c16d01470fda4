package webhooks

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/optional"
	"sluice/shared/completion"
	"sluice/shared/store"
)

func (f *face) registerDeliveries(api huma.API, one string, needs []map[string][]string) {
	huma.Register(api, huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: one + "/test", Tags: tags, Errors: []int{400, 401, 403, 404, 503}, Security: needs,
		DefaultStatus: http.StatusAccepted, Summary: "Try a webhook out", Description: "Sends it an event webhook.test, and answers with its delivery before that is made.",
	}, f.test)
	huma.Register(api, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: one + "/deliveries", Tags: tags, Errors: []int{400, 401, 403, 404, 503}, Security: needs,
		Summary: "List a webhook's deliveries", Description: "Newest first. One that has ended is kept for 30 days. Pass the last id as after for the next page.",
	}, f.deliveries)
	huma.Register(api, huma.Operation{
		OperationID: "resend-delivery", Method: http.MethodPost, Path: one + "/deliveries/{delivery}/resend", Tags: tags, Errors: []int{401, 403, 404, 503}, Security: needs,
		DefaultStatus: http.StatusAccepted, Summary: "Send a delivery again", Description: "At once, whatever became of it, and if it fails again, for as long as a new one. " +
			"The receiver gets the same webhook-id.",
	}, f.resend)
}

// Delivery is a delivery as clients see it.
type Delivery struct {
	ID            string                   `json:"id" example:"dlv_01933b1c5f6c7d8e9f00112233445566"`
	Object        string                   `json:"object" enum:"webhook.delivery"`
	Webhook       string                   `json:"webhook" doc:"The webhook's id."`
	State         completion.DeliveryState `json:"state" enum:"pending,delivered,failed" doc:"pending: it will be sent, for the first time or again. failed: it was not taken within 72 hours."`
	Type          string                   `json:"type" doc:"The event's."`
	Event         json.RawMessage          `json:"event" doc:"What is sent."`
	Attempts      int                      `json:"attempts"`
	NextAttemptAt *time.Time               `json:"next_attempt_at" nullable:"true"`
	LastAttemptAt *time.Time               `json:"last_attempt_at" nullable:"true"`
	LastStatus    *int                     `json:"last_status" nullable:"true" doc:"HTTP status of the latest answer, if there was one."`
	LastError     *string                  `json:"last_error" nullable:"true" doc:"Why the latest attempt failed."`
	CreatedAt     time.Time                `json:"created_at"`
	EndedAt       *time.Time               `json:"ended_at" nullable:"true" doc:"When it was delivered or given up."`
}

// DeliveryList is one page of a list, in the shape of OpenAI's lists.
type DeliveryList struct {
	Object  string     `json:"object" enum:"list"`
	Data    []Delivery `json:"data"`
	FirstID *string    `json:"first_id" nullable:"true"`
	LastID  *string    `json:"last_id" nullable:"true" doc:"Pass it as after for the next page."`
	HasMore bool       `json:"has_more"`
}

type deliveryOutput struct{ Body Delivery }

type deliveriesOutput struct{ Body DeliveryList }

type deliveriesInput struct {
	ID    string                   `path:"id" doc:"The webhook's id."`
	State completion.DeliveryState `query:"state" enum:"pending,delivered,failed" doc:"Only deliveries in this state."`
	Limit int                      `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"Deliveries per page."`
	After string                   `query:"after" maxLength:"64" doc:"The last id of the page before."`
}

type resendInput struct {
	ID       string `path:"id" doc:"The webhook's id."`
	Delivery string `path:"delivery" doc:"The delivery's id."`
}

func (f *face) deliveries(ctx context.Context, in *deliveriesInput) (*deliveriesOutput, error) {
	if in.After != "" && !completion.ValidToken(in.After) {
		return nil, f.answer(ctx, completion.Invalid("after", "The cursor must be the id of a delivery."))
	}
	w, err := f.store.Webhook(ctx, access.Of(ctx).Tenant, in.ID)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	list, next, err := f.store.Deliveries(ctx, w.Tenant, w.ID, store.DeliveryQuery{State: in.State, Limit: in.Limit, After: in.After})
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	page := DeliveryList{Object: "list", Data: make([]Delivery, 0, len(list)), HasMore: next != ""}
	for _, d := range list {
		page.Data = append(page.Data, viewDelivery(d))
	}
	if n := len(page.Data); n > 0 {
		page.FirstID, page.LastID = &page.Data[0].ID, &page.Data[n-1].ID
	}
	return &deliveriesOutput{Body: page}, nil
}

func (f *face) resend(ctx context.Context, in *resendInput) (*deliveryOutput, error) {
	d, err := f.store.Resend(ctx, access.Of(ctx).Tenant, in.ID, in.Delivery, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &deliveryOutput{Body: viewDelivery(d)}, nil
}

func viewDelivery(d completion.Delivery) Delivery {
	return Delivery{
		ID: d.ID, Object: "webhook.delivery", Webhook: d.Webhook, State: d.State, Type: d.Type, Event: d.Body, Attempts: d.Attempts,
		NextAttemptAt: optional.Time(d.NextAt), LastAttemptAt: optional.Time(d.LastAt), CreatedAt: d.CreatedAt.UTC(), EndedAt: optional.Time(d.EndedAt),
		LastStatus: optional.Of(d.LastStatus), LastError: optional.Of(d.LastError),
	}
}
