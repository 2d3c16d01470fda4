package upstream

import (
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

// endless is an upstream whose stream goes on for ever, a chunk in each read.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n++
	return copy(p, `data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1","service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}],"usage":null}`+"\n\n"), nil
}

// reading returns what reads the next chunk of an endless stream.
func reading(tb testing.TB) (next func()) {
	u, err := New(Config{BaseURL: "http://model/v1", MaxAnswerBytes: 1 << 50})
	require.NoError(tb, err)
	u.pool.RegisterProtocol("http", answering(func(r *http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(&endless{}), Request: r}
	}))
	chunks, stop := iter.Pull2(u.Stream(tb.Context(), completion.EndpointChat, json.RawMessage(`{"model":"m"}`)))
	tb.Cleanup(stop)
	return func() {
		chunk, err, ok := chunks()
		if !ok || err != nil || len(chunk) < 200 {
			tb.Fatal(err, string(chunk))
		}
	}
}

// BenchmarkChunk is what reading a chunk costs, from the socket's bytes to the one that is passed on.
func BenchmarkChunk(b *testing.B) {
	next := reading(b)
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// TestStream_Allocations: reading a chunk allocates nothing. Allocations beside it would count, so it is not parallel.
func TestStream_Allocations(t *testing.T) {
	require.InDelta(t, 0, testing.AllocsPerRun(1000, reading(t)), 0)
}
