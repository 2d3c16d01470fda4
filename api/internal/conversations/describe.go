package conversations

import (
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"sluice/api/internal/jobs"
)

// takes describes what an operation takes, with an example. A body without a member that must be there may be left out.
func takes[T any](api huma.API, op huma.Operation, example string) {
	item := api.OpenAPI().Paths[op.Path]
	described := map[string]*huma.Operation{http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch}[op.Method]
	media, schemas := described.RequestBody.Content["application/json"], api.OpenAPI().Components.Schemas
	media.Schema = huma.SchemaFromType(schemas, reflect.TypeFor[T]())
	media.Example = json.RawMessage(example)
	described.RequestBody.Required = len(media.Schema.Required) > 0
}

// describe says what tags cannot.
func describe(api huma.API) {
	schemas := api.OpenAPI().Components.Schemas.Map()
	for _, name := range []string{"Message", "Turn"} {
		jobs.Nullable(schemas[name], "error")
	}
	null := &huma.Schema{Type: "null"}
	for property, some := range map[string][]*huma.Schema{
		"content": {{Type: huma.TypeString}, {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject}}}, "usage": {{Type: huma.TypeObject}},
	} {
		of := schemas["Message"].Properties[property]
		of.Type, of.Nullable, of.OneOf = "", false, append(some, null)
	}
}
