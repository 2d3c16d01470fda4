package e2e_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"

	"sluice/deployments/internal/process"

	"github.com/stretchr/testify/require"
)

// recorder is a proxy that remembers what passes through.
type recorder struct {
	target func(*exchange) *url.URL
	url    string
	proxy  httputil.ReverseProxy

	mu        sync.Mutex
	exchanges []*exchange
}

// exchange is one request and its answer.
type exchange struct {
	Method, Path, Query string
	Header              http.Header
	Request             []byte
	done                chan struct{} // closed when the answer has ended, and what follows is whole

	Status   int // 0: no answer
	Response http.Header
	Aborted  bool // the client left first

	Body process.Output // readable while it grows
}

// startRecorder starts a proxy to where target says that an exchange goes.
func startRecorder(t *testing.T, target func(*exchange) *url.URL) *recorder {
	t.Helper()
	r := &recorder{target: target}
	transport := &http.Transport{DisableKeepAlives: true}
	r.proxy = httputil.ReverseProxy{
		FlushInterval: -1, Transport: transport, ModifyResponse: record,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(r.target(exchangeOf(p.In)))
			p.Out.Host = ""
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // no answer is no answer
	}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.url = server.URL
	return r
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	e := &exchange{Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery, Header: req.Header.Clone(), Request: body, done: make(chan struct{})}
	r.mu.Lock()
	r.exchanges = append(r.exchanges, e)
	r.mu.Unlock()
	defer func() {
		e.Aborted = req.Context().Err() != nil
		close(e.done)
	}()
	r.proxy.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), exchangeKey{}, e)))
}

// record copies an answer into its exchange while it is read.
func record(resp *http.Response) error {
	e := exchangeOf(resp.Request)
	e.Status, e.Response = resp.StatusCode, resp.Header.Clone()
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(resp.Body, &e.Body), resp.Body}
	return nil
}

// of returns the exchanges that are like that, once all of them have ended.
func (r *recorder) of(t *testing.T, like func(*exchange) bool) []*exchange {
	t.Helper()
	r.mu.Lock()
	found := slices.DeleteFunc(slices.Clone(r.exchanges), func(e *exchange) bool { return !like(e) })
	r.mu.Unlock()
	for _, e := range found {
		until(t, "the end of "+e.Method+" "+e.Path, func() bool {
			select {
			case <-e.done:
				return true
			default:
				return false
			}
		})
	}
	return found
}

// body is what the request of a step has been answered with so far.
func (r *recorder) body(step string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.exchanges {
		if e.Header.Get(stepHeader) == step {
			return e.Body.String()
		}
	}
	return ""
}

func parseURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}
