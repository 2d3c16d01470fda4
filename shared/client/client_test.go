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

func TestEvents_DataLines(t *testing.T) {
	t.Parallel()
	var seqs []int64
	for e, err := range events(strings.NewReader("id: 1\n\nid: 12\ndata: {\"seq\":\ndata: 12}\n\nid: 3\ndata: {\"seq\":3\ndata: 4}\n\n")) {
		if err != nil {
			e.Seq = -1
		}
		seqs = append(seqs, e.Seq)
	}
	require.Equal(t, []int64{12, -1}, seqs, "no event without data; lines are joined by newlines, so 3 and 4 are not 34")
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
	job, err := c.Submit(t.Context(), Submission{Request: []byte(`{}`), Lane: completion.LaneBatch, Key: "k"})
	require.NoError(t, err)
	require.Equal(t, "job_1", job.ID)
	require.True(t, job.StartedAt.IsZero())
	_, err = c.Submit(t.Context(), Submission{Request: []byte(`{}`)})
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusBadRequest, refused.Status)
}

func TestError_WithoutMessage(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, `{"error":{"code":"x"}}`)
	})
	_, err := c.Get(t.Context(), "job_1")
	require.EqualError(t, err, "the server answered 502 Bad Gateway [502 x]")
}

func TestNew_BadAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:8080", "ftp://x", "http://"} {
		_, err := New(address, nil)
		require.Error(t, err, address)
	}
}

// FuzzEvents compares with a plain reading of the specification: an event is the data of its lines, joined by newlines.
func FuzzEvents(f *testing.F) {
	for _, stream := range []string{
		event(1, "started") + event(2, "completed"), "data: x\n\nid\n\n:\r\n", "id: 1\n\n" + event(2, "delta"), "id:1\r\ndata:{\"seq\":\r\ndata: 1}\r\n\r\n",
		"id: 1\ndata: {\"seq\":1\ndata: 2}\n\n", "id\ndata\n\n", "data: {}\nid: 1\nidx: 1\n data: 1\ndata : 2\n\n", event(1, "delta") + "id: 2\ndata: {}\n", "id: 1\ndata: {\"seq\":1e400}\n\n" + event(2, "failed"),
	} {
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		if strings.Contains(strings.ReplaceAll(stream, "\r\n", ""), "\r") {
			return // the API does not end lines so
		}
		var want []completion.Event
		var wrong []bool
		blocks := strings.Split(strings.ReplaceAll("\n"+stream, "\r\n", "\n"), "\n\n")
		for _, block := range blocks[:len(blocks)-1] { // the last one is not ended
			var data []string
			numbered := false
			for line := range strings.SplitSeq(block, "\n") {
				name, value, _ := strings.Cut(line, ":")
				numbered = numbered || name == "id"
				if name == "data" {
					data = append(data, strings.TrimPrefix(value, " "))
				}
			}
			if numbered && data != nil {
				var e completion.Event
				err := json.Unmarshal([]byte(strings.Join(data, "\n")), &e)
				if err != nil {
					e = completion.Event{}
				}
				want, wrong = append(want, e), append(wrong, err != nil)
			}
		}
		for e, err := range events(strings.NewReader(stream)) {
			require.NotEmpty(t, want, "an event too many")
			require.Equal(t, want[0], e)
			require.Equal(t, wrong[0], err != nil)
			want, wrong = want[1:], wrong[1:]
		}
		require.Empty(t, want)
	})
}

func TestModels(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/models" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"object":"list","data":[{"id":"a/b","object":"model","created":7,"owned_by":"x","more":[]}]}`)
	})
	models, err := c.Models(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Model{{ID: "a/b", Created: 7, OwnedBy: "x"}}, models)
}
