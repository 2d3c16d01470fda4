package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/completion"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/", server.Client())
	require.NoError(t, err)
	return c
}

func event(seq int, typ completion.EventType) string {
	return fmt.Sprintf("id: %d\nevent: %s\ndata: {\"type\":%q,\"seq\":%d,\"attempt\":1,\"at\":\"2026-01-01T00:00:00Z\"}\n\n", seq, typ, typ, seq)
}

func TestFollow_ResumesAfterABrokenConnection(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	var resumed [4]string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1) - 1
		resumed[n] = r.Header.Get("Last-Event-Id")
		switch n {
		case 0:
			fmt.Fprint(w, ": keep-alive\n\n", event(1, "started"), event(2, "delta"), "event: reconnect\ndata: {\"after\":2}\n\n")
		case 1:
			http.Error(w, "bad gateway", http.StatusBadGateway)
		case 2:
			fmt.Fprint(w, event(2, "delta"), event(3, "delta"), "id: 4\nevent: delta\ndata: {\"type\":\"del") // cut inside an event
		default:
			fmt.Fprint(w, event(4, "delta"), event(5, "completed"), event(6, "delta"))
		}
	})
	var seqs []int64
	for e, err := range c.Follow(t.Context(), "job_1", 0) {
		require.NoError(t, err)
		seqs = append(seqs, e.Seq)
	}
	require.Equal(t, []int64{1, 2, 3, 4, 5}, seqs, "I3: each once, in order, to the final one")
	require.Equal(t, [4]string{"0", "2", "2", "3"}, resumed)
}

func TestFollow_Ends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"nothing left": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, ""},
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"message":"No such job.","type":"invalid_request_error","param":null,"code":"not_found"}}`)
		}, "No such job. [404 not_found]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var last error
			for _, err := range serve(t, c.handler).Follow(t.Context(), "job_1", 7) {
				last = err
			}
			if c.want == "" {
				require.NoError(t, last)
				return
			}
			require.EqualError(t, last, c.want)
		})
	}
}

func TestFollow_CallerLeaves(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, event(1, "started"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for e, err := range c.Follow(ctx, "job_1", 0) {
		if e.Seq == 1 {
			cancel()
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var got map[string]any
		if json.NewDecoder(r.Body).Decode(&got) != nil || r.Header.Get("Idempotency-Key") != "k" || got["lane"] != "batch" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"job_1","state":"queued","result":null,"finish_reason":null,"started_at":null,"error":null}`)
	})
	job, err := c.Submit(t.Context(), Submission{Request: []byte(`{}`), Lane: completion.Batch, Key: "k"})
	require.NoError(t, err)
	require.Equal(t, "job_1", job.ID)
	require.True(t, job.StartedAt.IsZero())
	_, err = c.Submit(t.Context(), Submission{Request: []byte(`{}`)})
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusBadRequest, refused.Status)
}

func TestNew_BadAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:8080", "ftp://x", "http://"} {
		_, err := New(address, nil)
		require.Error(t, err, address)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add(event(1, "started") + event(2, "completed"))
	f.Add("data: x\n\nid\n\n:\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		for e, err := range events(strings.NewReader(stream)) {
			if err != nil {
				return
			}
			require.NotContains(t, string(e.Type), "\n\n")
		}
	})
}
