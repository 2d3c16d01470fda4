package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// sdkTypes are the JSON schemas of the official SDK's types, made once for all tests.
var sdkTypes = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "sluice-types-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := fillNodeFolder(dir); err != nil {
		return nil, err
	}
	var said strings.Builder
	cmd := exec.Command("node", filepath.Join(dir, "schema.mjs"))
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("make schemas of the SDK's types: %w\n%s", err, &said)
	}
	return text, nil
})

// wire checks what goes over the wire against the types of the official SDK.
type wire struct {
	document []byte
	schemas  map[string]*jsonschema.Schema // by the property of Wire in schema.mjs, and the events of responses by their type
}

func newWire(t *testing.T) *wire {
	t.Helper()
	text, err := sdkTypes()
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("wire.json", document))
	w := &wire{document: text, schemas: map[string]*jsonschema.Schema{}}
	for name := range gjson.GetBytes(text, "definitions.Wire.properties").Map() {
		w.schemas[name], err = compiler.Compile("wire.json#/definitions/Wire/properties/" + name)
		require.NoError(t, err, name)
	}
	for _, event := range gjson.GetBytes(text, "definitions.ResponseStreamEvent.anyOf.#.$ref").Array() {
		name := strings.TrimPrefix(event.Str, "#/definitions/")
		of := gjson.GetBytes(text, "definitions").Get(gjson.Escape(name)).Get("properties.type.const").Str
		w.schemas[of], err = compiler.Compile("wire.json" + event.Str)
		require.NoError(t, err, name)
	}
	return w
}

// valid checks JSON text.
func (w *wire) valid(name, text string) error {
	schema := w.schemas[name]
	if schema == nil {
		return fmt.Errorf("no such type: %s in %s", name, text)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, text)
	}
	return nil
}

// answers are the schemas of the answers that are no streams.
var answers = []struct{ method, path, schema string }{
	{"POST", `/v1/chat/completions(/[^/]+)?`, "chat"},
	{"GET", `/v1/chat/completions`, "chatPage"},
	{"GET", `/v1/chat/completions/[^/]+`, "chat"},
	{"DELETE", `/v1/chat/completions/[^/]+`, "chatDeleted"},
	{"GET", `/v1/chat/completions/[^/]+/messages`, "messagePage"},
	{"POST", `/v1/completions`, "text"},
	{"POST", `/v1/embeddings`, "embeddings"},
	{"GET", `/v1/models`, "models"},
	{"GET", `/v1/models/[^/]+`, "model"},
	{"POST", `/v1/responses(/[^/]+/cancel)?`, "response"},
	{"GET", `/v1/responses/[^/]+`, "response"},
	{"GET", `/v1/responses/[^/]+/input_items`, "itemPage"},
	{"POST", `/v1/files`, "file"},
	{"GET", `/v1/files`, "filePage"},
	{"GET", `/v1/files/[^/]+`, "file"},
	{"DELETE", `/v1/files/[^/]+`, "fileDeleted"},
	{"POST", `/v1/batches(/[^/]+/(cancel|pause|resume|retry))?`, "batch"},
	{"GET", `/v1/batches`, "batchPage"},
	{"GET", `/v1/batches/[^/]+`, "batch"},
}

// require checks a whole exchange between a program and the API.
func (w *wire) require(t *testing.T, e *exchange) {
	t.Helper()
	if e.Status == 0 {
		require.True(t, e.Aborted, "%s %s has no answer", e.Method, e.Path)
		return
	}
	require.NotEmpty(t, e.Response.Get("X-Request-Id"), "%s %s", e.Method, e.Path)
	body := e.Body.String()
	switch {
	case e.Status >= http.StatusBadRequest:
		require.NoError(t, w.valid("failure", body))
		require.Len(t, gjson.Parse(body).Map(), 1, body)
	case strings.HasPrefix(e.Response.Get("Content-Type"), "text/event-stream"):
		w.requireStream(t, e)
	case e.Aborted, e.Status == http.StatusPartialContent:
	case strings.HasSuffix(e.Path, "/content"):
		w.requireLines(t, body)
	default:
		schema := w.answer(e)
		if schema == "" {
			return // the SDK knows no type for it, as for a deleted response
		}
		require.NoError(t, w.valid(schema, body), "%s %s", e.Method, e.Path)
		require.False(t, gjson.Get(body, "error").Exists() && schema != "response", "a top-level error is an error to SDKs")
	}
}

func (w *wire) answer(e *exchange) string {
	for _, a := range answers {
		if a.method == e.Method && regexp.MustCompile("^"+a.path+"$").MatchString(e.Path) {
			if a.schema == "embeddings" && gjson.GetBytes(e.Request, "encoding_format").Str == "base64" {
				return "encodedEmbeddings"
			}
			return a.schema
		}
	}
	return ""
}

// lineSchemas are the schemas of the lines of output files, by the object that a line's body is.
var lineSchemas = map[string]string{"chat.completion": "chatLine", "text_completion": "textLine", "list": "embeddingLine", "response": "responseLine"}

// requireLines checks the lines of a file, if it is one that a batch wrote.
func (w *wire) requireLines(t *testing.T, body string) {
	t.Helper()
	for line := range strings.Lines(body) {
		if !gjson.Get(line, "response").Exists() {
			return
		}
		schema := lineSchemas[gjson.Get(line, "response.body.object").Str]
		if schema == "" {
			schema = "failedLine"
		}
		require.NoError(t, w.valid(schema, line))
		require.True(t, strings.HasSuffix(line, "\n"), "a line that does not end")
	}
}

// frame is one event of a stream.
type frame struct{ event, data string }

// frames are the whole events of a stream, without comments.
func frames(body string) []frame {
	var all []frame
	blocks := strings.Split(body, "\n\n")
	for _, block := range blocks[:len(blocks)-1] {
		var f frame
		for line := range strings.Lines(block) {
			line = strings.TrimRight(line, "\n")
			if value, ok := strings.CutPrefix(line, "event: "); ok {
				f.event = value
			}
			if value, ok := strings.CutPrefix(line, "data: "); ok {
				f.data += value
			}
		}
		if f != (frame{}) {
			all = append(all, f)
		}
	}
	return all
}

// requireStream checks the events of a stream, one by one and as a sequence.
func (w *wire) requireStream(t *testing.T, e *exchange) {
	t.Helper()
	all := frames(e.Body.String())
	if strings.HasPrefix(e.Path, "/v1/responses") {
		w.requireEvents(t, e, all)
		return
	}
	schema := "chunk"
	if e.Path == "/v1/completions" {
		schema = "textChunk"
	}
	ended := false
	for _, f := range all {
		require.False(t, ended, "nothing follows the end: %s", f.data)
		require.Empty(t, f.event)
		switch {
		case f.data == "[DONE]":
			ended = true
		case gjson.Get(f.data, "error").Exists():
			require.NoError(t, w.valid("failure", f.data))
			ended = true
		default:
			require.NoError(t, w.valid(schema, f.data))
		}
	}
	require.True(t, ended || e.Aborted, "the stream has no end: %s", &e.Body)
	requireOneAnswer(t, e, all)
}

// requireOneAnswer checks what the chunks of a stream have in common, and the usage among them.
func requireOneAnswer(t *testing.T, e *exchange, all []frame) {
	t.Helper()
	usage := gjson.GetBytes(e.Request, "stream_options.include_usage").Bool()
	var first gjson.Result
	for i, f := range all {
		chunk := gjson.Parse(f.data)
		if !chunk.Get("id").Exists() {
			continue // [DONE] or an error
		}
		if i == 0 {
			first = chunk
		}
		for _, name := range []string{"id", "created", "model", "object"} {
			require.Equal(t, first.Get(name).Raw, chunk.Get(name).Raw, f.data)
		}
		last := len(chunk.Get("choices").Array()) == 0
		switch {
		case !usage:
			require.False(t, chunk.Get("usage").Exists(), "nobody asked for usage: %s", f.data)
			require.False(t, last, "a chunk without choices: %s", f.data)
		case last:
			require.True(t, chunk.Get("usage").IsObject(), f.data)
			require.Equal(t, "[DONE]", all[i+1].data)
		default:
			require.Equal(t, "null", chunk.Get("usage").Raw, f.data)
		}
	}
}

// requireEvents checks a stream of the Responses API.
func (w *wire) requireEvents(t *testing.T, e *exchange, all []frame) {
	t.Helper()
	next := int64(0)
	if after := parseURL(t, "?"+e.Query).Query().Get("starting_after"); after != "" {
		require.NoError(t, json.Unmarshal([]byte(after), &next))
		next++
	}
	for _, f := range all {
		event := gjson.Parse(f.data)
		require.NoError(t, w.valid(event.Get("type").Str, f.data))
		require.Equal(t, f.event, event.Get("type").Str)
		require.Equal(t, next, event.Get("sequence_number").Int(), f.data)
		next++
	}
	if !e.Aborted {
		require.NotEmpty(t, all, "an empty stream")
		require.Regexp(t, `^(response\.(completed|failed|incomplete|cancelled)|error)$`, all[len(all)-1].event)
	}
}
