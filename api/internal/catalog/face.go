package catalog

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/access"
	"sluice/api/internal/problem"
	"sluice/shared/completion"
)

// Model is a model as its upstream describes it.
type Model struct{ raw json.RawMessage }

// MarshalJSON is json.Marshaler's.
func (m Model) MarshalJSON() ([]byte, error) { return m.raw, nil }

// Schema is huma.SchemaProvider's.
func (Model) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"id", "object", "created", "owned_by"}, AdditionalProperties: true,
		Description: "A model, with whatever else its upstream says of it.",
		Properties: map[string]*huma.Schema{
			"id":       {Type: huma.TypeString, Description: "What a request names in model."},
			"object":   {Type: huma.TypeString, Enum: []any{"model"}},
			"created":  {Type: huma.TypeInteger, Format: "int64", Description: "Unix time in seconds; 0 if the upstream does not say."},
			"owned_by": {Type: huma.TypeString},
		},
	}
}

// ModelList is all models, in the shape of OpenAI's lists.
type ModelList struct {
	Object string  `json:"object" enum:"list"`
	Data   []Model `json:"data"`
}

type listOutput struct{ Body ModelList }

type modelOutput struct{ Body Model }

type idInput struct {
	ID string `path:"id" doc:"The model's id; it may have slashes."`
}

// path is that of one model; rest is how the mux writes what may have slashes.
const (
	path = "/v1/models/{id}"
	rest = "/v1/models/{id...}"
)

// Register adds the routes to api.
func Register(api huma.API, c *Catalog, log *slog.Logger) {
	needs, tags := access.Needs(completion.ScopeRead), []string{"Models"}
	huma.Register(api, huma.Operation{
		OperationID: "list-models", Method: http.MethodGet, Path: "/v1/models", Tags: tags, Errors: []int{401, 403, 503}, Security: needs,
		Summary: "List models", Description: "What the upstreams say they serve, sorted by id. Empty while none has said so.",
	}, func(ctx context.Context, _ *struct{}) (*listOutput, error) {
		out, err := c.list(ctx)
		return out, problem.Answer(ctx, log, err)
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-model", Method: http.MethodGet, Path: rest, Tags: tags, Errors: []int{401, 403, 404, 503}, Security: needs,
		Summary: "Read a model", Description: "One of the list.",
	}, func(ctx context.Context, in *idInput) (*modelOutput, error) {
		out, err := c.get(ctx, in.ID)
		return out, problem.Answer(ctx, log, err)
	})
	paths := api.OpenAPI().Paths
	paths[path] = paths[rest]
	delete(paths, rest)
}

func (c *Catalog) list(ctx context.Context) (*listOutput, error) {
	v, err := c.view(ctx, fresh)
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: ModelList{Object: "list", Data: make([]Model, 0, len(v.models))}}
	for _, m := range v.models {
		out.Body.Data = append(out.Body.Data, Model{m})
	}
	return out, nil
}

func (c *Catalog) get(ctx context.Context, id string) (*modelOutput, error) {
	v, err := c.view(ctx, fresh)
	if err == nil && v.byID[id] == nil {
		v, err = c.view(ctx, pause)
	}
	switch {
	case err != nil:
		return nil, err
	case v.byID[id] == nil:
		return nil, unknown(id)
	default:
		return &modelOutput{Body: Model{v.byID[id]}}, nil
	}
}
