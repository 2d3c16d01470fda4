package e2e_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	mapping "sluice/shared/response"
)

var update = flag.Bool("update", false, "write docs/openai.md anew")

// supportedRoute is a row of openai/support.json, which docs/openai.md shows: a route of OpenAI's, and what becomes of its
// parameters.
type supportedRoute struct {
	Route      string
	Schema     string // of its parameters, in schema.mjs; empty: it has none
	Support    string // "exact" or "not supported"
	Note       string
	Calls      []string        // of the table, that use it
	Base       json.RawMessage // what a body needs beside a model
	Parameters []supportedParameter
}

// supportedParameter is a parameter of a route. An exact one is used in the table. One that is passed through reaches the
// upstream, and one that is not supported is refused, or accepted without effect.
type supportedParameter struct {
	Name     string
	Support  string
	Note     string
	Sample   json.RawMessage
	As       string          // its path in what the upstream gets; empty: its name
	Is       json.RawMessage // its value there; empty: that of the sample
	Accepted bool            // not supported, and without effect
}

// supportTable reads openai/support.json. What it leaves out of the parameters of responses, package response knows.
func supportTable(t *testing.T) []supportedRoute {
	t.Helper()
	text, err := os.ReadFile("openai/support.json")
	require.NoError(t, err)
	var routes []supportedRoute
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&routes))
	for i := range routes {
		if routes[i].Schema == "responseRequest" {
			routes[i].Parameters = responseParameters(routes[i].Parameters)
		}
	}
	return routes
}

func responseParameters(samples []supportedParameter) []supportedParameter {
	var all []supportedParameter
	for _, known := range mapping.Parameters {
		p := supportedParameter{Name: known.Name}
		if i := slices.IndexFunc(samples, func(s supportedParameter) bool { return s.Name == known.Name }); i >= 0 {
			p = samples[i]
		}
		p.Support, p.Note = string(known.Support), known.Note
		all = append(all, p)
	}
	for _, s := range samples {
		if s.Support != "" {
			all = append(all, s) // the SDK knows it, package response passes on what it does not know
		}
	}
	return all
}

// find returns the parameter of that name, or nil.
func (r supportedRoute) find(name string) *supportedParameter {
	i := slices.IndexFunc(r.Parameters, func(p supportedParameter) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Parameters[i]
}

// TestOpenAIDocs_NameAll writes the tables of docs/openai.md, or checks that they are written, and that they name every
// parameter which the SDK's types know. Those that are exact must be in the table of calls.
func TestOpenAIDocs_NameAll(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	used := usedParameters(t)
	routes := supportTable(t)
	for _, r := range routes {
		require.Contains(t, []string{"exact", "not supported"}, r.Support, r.Route)
		if r.Schema != "" {
			for _, name := range w.properties(r.Schema) {
				require.NotNil(t, r.find(name), "%s: the parameter %s", r.Route, name)
			}
		}
		for _, call := range r.Calls {
			require.NotNil(t, used[call], "%s: no case of the table calls %s", r.Route, call)
		}
		for _, p := range r.Parameters {
			require.Contains(t, []string{"exact", "passed through", "not supported"}, p.Support, "%s: %s", r.Route, p.Name)
			if p.Support == "exact" {
				require.True(t, slices.ContainsFunc(r.Calls, func(call string) bool { return used[call][p.Name] }), "%s: no case of the table uses %s", r.Route, p.Name)
			}
		}
	}
	page := filepath.Join("..", "docs", "openai.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	const begin, end = "<!-- written by go test ./e2e -run OpenAIDocs -update -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + supportTables(routes) + end + after
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(text), "make generate writes it")
}

// properties are the names of an object's members.
func (w *wire) properties(schema string) []string {
	at := gjson.GetBytes(w.document, "definitions.Wire.properties."+schema)
	for at.Get("$ref").Exists() {
		name := strings.TrimPrefix(at.Get("$ref").Str, "#/definitions/")
		at = gjson.GetBytes(w.document, "definitions").Get(gjson.Escape(name))
	}
	var names []string
	for name := range at.Get("properties").Map() {
		names = append(names, name)
	}
	return names
}

// usedParameters are the parameters that the table gives to each call.
func usedParameters(t *testing.T) map[string]map[string]bool {
	t.Helper()
	used := map[string]map[string]bool{}
	for _, c := range openaiCases(t) {
		for _, s := range c.Steps {
			if used[s.Call] == nil {
				used[s.Call] = map[string]bool{}
			}
			for _, arg := range gjson.ParseBytes(s.Args).Array() {
				for name := range arg.Map() {
					used[s.Call][name] = true
				}
			}
		}
	}
	return used
}

// supportTables render the tables in Markdown.
func supportTables(routes []supportedRoute) string {
	var b strings.Builder
	b.WriteString("\n| Endpoint | Support | |\n|---|---|---|\n")
	for _, r := range routes {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Route, r.Support, r.Note)
	}
	for _, r := range routes {
		if len(r.Parameters) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n| Parameter | Support | |\n|---|---|---|\n", r.Route)
		for _, p := range r.Parameters {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, p.Support, p.Note)
		}
	}
	b.WriteString("\n")
	return b.String()
}

// testSupport checks what docs/openai.md says of parameters and routes against the programs.
func testSupport(t *testing.T, o *office) {
	api := o.cluster.apis[0]
	for _, r := range supportTable(t) {
		method, path, _ := strings.Cut(r.Route, " ")
		path = strings.ReplaceAll(path, "{id}", "x")
		marker := "support" + strings.ReplaceAll(path, "/", ".")
		if r.Support == "not supported" {
			t.Run(r.Route, func(t *testing.T) {
				t.Parallel()
				answer := api.do(t, method, path, "{}", "Content-Type", "application/json")
				require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, answer.status, answer.body)
				require.NoError(t, o.wire.valid("failure", answer.body))
			})
			continue
		}
		t.Run(r.Route+"/passed", func(t *testing.T) {
			t.Parallel()
			if slices.ContainsFunc(r.Parameters, func(p supportedParameter) bool { return p.Support == "passed through" }) {
				o.passes(t, r, path, marker)
			}
		})
		for _, p := range r.Parameters {
			if p.Support == "not supported" && method == http.MethodPost {
				t.Run(r.Route+"/"+p.Name, func(t *testing.T) {
					t.Parallel()
					require.NotEmpty(t, p.Sample, "a sample of what is not supported")
					answer := api.do(t, method, path, r.body(t, marker, p), "Content-Type", "application/json")
					if p.Accepted {
						require.Equal(t, http.StatusOK, answer.status, answer.body)
						return
					}
					require.Equal(t, http.StatusBadRequest, answer.status, answer.body)
					require.Equal(t, p.Name, gjson.Get(answer.body, "error.param").Str)
				})
			}
		}
	}
}

// body is a body with samples of the parameters.
func (r supportedRoute) body(t *testing.T, marker string, parameters ...supportedParameter) string {
	t.Helper()
	body := map[string]json.RawMessage{"model": json.RawMessage(`"sim?tps=0&tokens=3"`)}
	require.NoError(t, json.Unmarshal(r.Base, &body))
	for _, p := range parameters {
		body[p.Name] = p.Sample
	}
	text, err := json.Marshal(body)
	require.NoError(t, err)
	return string(fill(t, text, marker, nil, nil))
}

// passes sends all that is passed through, and looks at what the upstream gets.
func (o *office) passes(t *testing.T, r supportedRoute, path, marker string) {
	t.Helper()
	passed := slices.DeleteFunc(slices.Clone(r.Parameters), func(p supportedParameter) bool { return p.Support != "passed through" })
	answer := o.cluster.apis[0].do(t, http.MethodPost, path, r.body(t, marker, passed...), "Content-Type", "application/json")
	require.Equal(t, http.StatusOK, answer.status, answer.body)
	asked := o.asked(t, marker)
	require.Len(t, asked, 1)
	for _, p := range passed {
		at, want := p.As, p.Is
		if at == "" {
			at = p.Name
		}
		if len(want) == 0 {
			want = fill(t, p.Sample, marker, nil, nil)
		}
		require.JSONEq(t, string(want), gjson.GetBytes(asked[0].Body, at).Raw, "%s in %s", p.Name, asked[0].Body)
	}
}
