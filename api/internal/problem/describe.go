package problem

import (
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// meanings are what a client is told in the API's description of the errors that a route may answer.
var meanings = map[int]string{
	http.StatusBadRequest:            "The request is not valid; param names the field.",
	http.StatusUnauthorized:          "There is no API key, or it opens nothing.",
	http.StatusPaymentRequired:       "All completions of the tenant are used up.",
	http.StatusForbidden:             "The API key lacks the scope, or the web origin may not use the API.",
	http.StatusNotFound:              "The tenant has nothing by that id.",
	http.StatusConflict:              "The idempotency key was used with another body, or the state of the thing does not allow it; code tells which.",
	http.StatusRequestEntityTooLarge: "The body is larger than 10 MB, or than the tenant's limit; a file is larger than its purpose allows.",
	http.StatusUnsupportedMediaType:  "The body is not of the type that is needed: application/json, and multipart/form-data for a file.",
	http.StatusTooManyRequests:       "A limit of the tenant is reached; code tells which, Retry-After when to try again.",
	http.StatusInternalServerError:   "A fault of the service; the log has it under the x-request-id.",
	http.StatusServiceUnavailable:    "A server that is needed is away; try again.",
}

// Describe corrects what huma assumes about errors: what is wrong with a request is a 400 here, never a 422.
func Describe(doc *huma.OpenAPI) {
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			delete(op.Responses, strconv.Itoa(http.StatusUnprocessableEntity))
			for status, meaning := range meanings {
				if r := op.Responses[strconv.Itoa(status)]; r != nil {
					r.Description = meaning
				}
			}
		}
	}
}
