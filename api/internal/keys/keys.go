// Package keys is the face with which a tenant manages its own API keys under /v1/keys. It needs the scope admin, and
// reaches no other tenant's keys (I8); nor does it make one that sees other tenants, unless the caller's does. A secret is
// shown once, in the answer that makes the key.
package keys

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/optional"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
)

// Store is where keys are kept.
type Store interface {
	AddKey(ctx context.Context, k completion.Key) error
	Keys(ctx context.Context, tenant string) ([]completion.Key, error)
	RevokeKey(ctx context.Context, tenant, id string, at time.Time) (completion.Key, error)
}

// Key is a key as clients see it.
type Key struct {
	ID         string             `json:"id" example:"key_01933b1c5f6c7d8e9f00112233445566"`
	Object     string             `json:"object" enum:"api_key"`
	Name       string             `json:"name"`
	Secret     string             `json:"secret,omitempty" doc:"Only in the answer that makes the key: it is kept nowhere."`
	Hint       string             `json:"hint" doc:"The secret's last four characters."`
	Scopes     []completion.Scope `json:"scopes" enum:"submit,read,admin,system"`
	CreatedAt  time.Time          `json:"created_at"`
	ExpiresAt  *time.Time         `json:"expires_at" nullable:"true"`
	RevokedAt  *time.Time         `json:"revoked_at" nullable:"true" doc:"It opens nothing from some seconds after that."`
	LastUsedAt *time.Time         `json:"last_used_at" nullable:"true" doc:"To some seconds."`
}

// List is all keys of the tenant, in the shape of OpenAI's lists.
type List struct {
	Object string `json:"object" enum:"list"`
	Data   []Key  `json:"data"`
}

type keyOutput struct{ Body Key }

type listOutput struct{ Body List }

type createInput struct {
	Body struct {
		Name      string             `json:"name,omitempty" maxLength:"64" doc:"A label."`
		Scopes    []completion.Scope `json:"scopes,omitempty" enum:"submit,read,admin,system" uniqueItems:"true" minItems:"1" doc:"What the key permits; by default submit and read. To give system the caller must have it."`
		ExpiresAt time.Time          `json:"expires_at,omitempty" doc:"When it ends; never, if left out."`
	}
}

type idInput struct {
	ID string `path:"id" doc:"The key's id."`
}

// face serves the routes.
type face struct {
	store Store
	log   *slog.Logger
}

var tags = []string{"Keys"}

// Register adds the routes to api.
func Register(api huma.API, s Store, log *slog.Logger) {
	f := &face{store: s, log: log}
	needs := access.Needs(completion.ScopeAdmin)
	huma.Register(api, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/keys", Tags: tags, Errors: []int{400, 401, 403, 503}, Security: needs,
		DefaultStatus: http.StatusCreated, Summary: "Make an API key", Description: "A further key of the same tenant. Its secret is shown this once.",
	}, f.create)
	huma.Register(api, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Tags: tags, Errors: []int{401, 403, 503}, Security: needs,
		Summary: "List API keys", Description: "The tenant's keys, the oldest first, without their secrets.",
	}, f.list)
	huma.Register(api, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/keys/{id}", Tags: tags, Errors: []int{401, 403, 404, 503}, Security: needs,
		DefaultStatus: http.StatusOK,
		Summary:       "Revoke an API key", Description: "It opens nothing any more, within ten seconds, and ends the event streams that it has opened.",
	}, f.revoke)
}

func (f *face) create(ctx context.Context, in *createInput) (*keyOutput, error) {
	now := time.Now()
	if !in.Body.ExpiresAt.IsZero() && !in.Body.ExpiresAt.After(now) {
		return nil, f.answer(ctx, completion.Invalid("expires_at", "The key would have expired already."))
	}
	scopes := in.Body.Scopes
	if len(scopes) == 0 {
		scopes = []completion.Scope{completion.ScopeSubmit, completion.ScopeRead}
	}
	if slices.Contains(scopes, completion.ScopeSystem) && !access.Of(ctx).Allows(completion.ScopeSystem) {
		failure := completion.NewError(completion.CodeScope, "Only a key that has the scope system itself can make one that has it.")
		failure.Param = "scopes"
		return nil, f.answer(ctx, failure)
	}
	k, secret := completion.NewKey(access.Of(ctx).Tenant, scopes, now)
	k.Name, k.ExpiresAt = in.Body.Name, in.Body.ExpiresAt
	if err := f.store.AddKey(ctx, k); err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &keyOutput{Body: view(k)}
	out.Body.Secret = secret
	return out, nil
}

func (f *face) list(ctx context.Context, _ *struct{}) (*listOutput, error) {
	all, err := f.store.Keys(ctx, access.Of(ctx).Tenant)
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	out := &listOutput{Body: List{Object: "list", Data: make([]Key, 0, len(all))}}
	for _, k := range all {
		out.Body.Data = append(out.Body.Data, view(k))
	}
	return out, nil
}

func (f *face) revoke(ctx context.Context, in *idInput) (*keyOutput, error) {
	k, err := f.store.RevokeKey(ctx, access.Of(ctx).Tenant, in.ID, time.Now())
	if err != nil {
		return nil, f.answer(ctx, err)
	}
	return &keyOutput{Body: view(k)}, nil
}

func view(k completion.Key) Key {
	v := Key{
		ID: k.ID, Object: "api_key", Name: k.Name, Hint: k.Hint, Scopes: k.Scopes, CreatedAt: k.CreatedAt.UTC(),
		ExpiresAt: optional.Time(k.ExpiresAt), RevokedAt: optional.Time(k.RevokedAt), LastUsedAt: optional.Time(k.LastUsedAt),
	}
	if v.Scopes == nil {
		v.Scopes = []completion.Scope{}
	}
	return v
}

func (f *face) answer(ctx context.Context, err error) error { return problem.Answer(ctx, f.log, err) }
