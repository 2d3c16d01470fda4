// Package page shows the OpenAPI document as one HTML page without scripts or foreign hosts.
package page

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed reference.html
var source string

var reference = template.Must(template.New("reference").Funcs(template.FuncMap{"lower": strings.ToLower, "pretty": pretty}).Parse(source))

// route is one operation as the page shows it.
type route struct {
	Method, Path string
	*huma.Operation
	Statuses []status
}

type status struct {
	Code string
	*huma.Response
}

// Reference serves doc, which it renders once, when it is first asked for.
func Reference(doc *huma.OpenAPI) http.Handler {
	html := sync.OnceValues(func() ([]byte, error) { return render(doc) })
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := html()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = w.Write(text) // the client is gone; there is nobody to tell
	})
}

func render(doc *huma.OpenAPI) ([]byte, error) {
	var routes []route
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op != nil && !op.Hidden {
				routes = append(routes, route{Method: method, Path: path, Operation: op, Statuses: statuses(op)})
			}
		}
	}
	slices.SortFunc(routes, func(a, b route) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(b.Method, a.Method))
	})
	var html bytes.Buffer
	err := reference.Execute(&html, map[string]any{"Info": doc.Info, "Routes": routes, "Schemas": doc.Components.Schemas.Map()})
	if err != nil {
		return nil, fmt.Errorf("render API reference: %w", err)
	}
	return html.Bytes(), nil
}

func statuses(op *huma.Operation) []status {
	var list []status
	for _, code := range slices.Sorted(maps.Keys(op.Responses)) {
		list = append(list, status{code, op.Responses[code]})
	}
	return list
}

func pretty(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b), err
}
