package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"sluice/shared/modelsim"
)

// collector is a receiver of spans, over OTLP, that keeps what it is sent.
type collector struct {
	url string

	mu    sync.Mutex
	spans []span
	raw   bytes.Buffer
}

// span is one that was received.
type span struct {
	*tracepb.Span
	service string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var data tracepb.TracesData // the same as an ExportTraceServiceRequest on the wire
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &data) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, from := range data.ResourceSpans {
		service := ""
		for _, a := range from.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range from.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, span{s, service})
			}
		}
	}
}

// find returns the spans so far that are like that, in the order in which they began.
func (c *collector) find(like func(span) bool) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []span
	for _, s := range c.spans {
		if like(s) {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b span) int { return cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	return found
}

// becomes waits until the trace has the spans that want shows: their names, indented by who is below whom.
func (c *collector) becomes(t *testing.T, trace, want string) []span {
	t.Helper()
	var spans []span
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("trace %s is\n%s", trace, last)
		}
	}()
	until(t, "the trace\n"+want, func() bool {
		spans = c.find(func(s span) bool { return hex.EncodeToString(s.TraceId) == trace })
		last = tree(spans)
		return last == strings.TrimSpace(want)
	})
	return spans
}

// tree draws spans. Those whose parent is not among them are at the top.
func tree(spans []span) string {
	known := map[string]bool{}
	for _, s := range spans {
		known[string(s.SpanId)] = true
	}
	var b strings.Builder
	var draw func(parent []byte, depth int)
	draw = func(parent []byte, depth int) {
		for _, s := range spans {
			if bytes.Equal(s.ParentSpanId, parent) || depth == 0 && !known[string(s.ParentSpanId)] {
				fmt.Fprintf(&b, "%s%s\n", strings.Repeat("  ", depth), s.Name)
				draw(s.SpanId, depth+1)
			}
		}
	}
	draw([]byte("nobody"), 0)
	return strings.TrimSpace(b.String())
}

// named returns the spans of a name.
func named(spans []span, name string) []span {
	var list []span
	for _, s := range spans {
		if s.Name == name {
			list = append(list, s)
		}
	}
	return list
}

// says is what a span has as an attribute, as text; empty if it has it not.
func (s span) says(key string) string {
	for _, a := range s.Attributes {
		switch v := a.Value; {
		case a.Key != key:
		case v.GetArrayValue() != nil:
			return v.GetArrayValue().Values[0].GetStringValue()
		case v.GetStringValue() != "":
			return v.GetStringValue()
		default:
			return fmt.Sprint(v.GetIntValue())
		}
	}
	return ""
}

// witness is an upstream that remembers by model what it was told of the trace.
type witness struct {
	sim *modelsim.Sim

	mu   sync.Mutex
	told map[string]http.Header
}

func (w *witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	w.told[modelOf(body)] = r.Header
	w.mu.Unlock()
	w.sim.ServeHTTP(out, r)
}

// header is that of the last request for the model.
func (w *witness) header(t *testing.T, model string) http.Header {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Contains(t, w.told, model)
	return w.told[model]
}
