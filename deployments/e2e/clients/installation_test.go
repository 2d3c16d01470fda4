package clients_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/deployments/internal/process"
	"sluice/shared/client"
	"sluice/shared/completion"
)

// installation is an all-in-one that can be restarted, behind addresses that stay.
type installation struct {
	data  string
	key   string // of the API
	http  *proxy
	ws    *proxy
	nats  *proxy
	pages string // origin of the browser's page, which passes requests on to the API
	now   atomic.Pointer[running]
}

// credentialAge is how long an installation's credentials are valid.
const credentialAge = 5 * time.Second

// running is one life of an installation.
type running struct {
	*process.Process
	url *url.URL
	api *client.Client
}

func setup(t *testing.T) *installation {
	t.Helper()
	in := &installation{data: t.TempDir(), http: startProxy(t), ws: startProxy(t), nats: startProxy(t)}
	in.pages = in.servePages(t)
	in.start(t)
	t.Cleanup(func() { in.stop(t) })
	return in
}

// greeting is what an installation says of where it is.
const greeting = `page +(\S+)/#key=(\S+)\n(?s:.*)NATS +nats://(\S+)\n +WebSocket +ws://(\S+)\n(?s:.*)Ctrl-C stops`

func (in *installation) start(t *testing.T) {
	t.Helper()
	p, err := process.Start(sluice, nil, "up",
		"--http-addr=127.0.0.1:0", "--nats-addr=127.0.0.1:0", "--websocket-addr=127.0.0.1:0", "--data-dir="+in.data,
		"--drain-limit=100ms", "--retry-base=10ms", "--credential-ttl="+credentialAge.String(), "--interactive-slots=1", "--interactive-attempts=2", "--batch-slots=1",
		"--websocket-origins="+in.pages, "--public-websocket-url=ws://"+in.ws.address(), "--public-nats-url=nats://"+in.nats.address(),
	)
	require.NoError(t, err)
	at, err := p.Find(t.Context(), greeting)
	require.NoError(t, err)
	address, err := url.Parse(at[1])
	require.NoError(t, err)
	api, err := client.New(at[1], nil)
	require.NoError(t, err)
	in.key = at[2]
	in.http.aim(address.Host)
	in.nats.aim(at[3])
	in.ws.aim(at[4])
	in.now.Store(&running{p, address, api.WithKey(in.key)})
}

func (in *installation) stop(t *testing.T) {
	t.Helper()
	p := in.now.Load()
	require.Zero(t, p.Stop(), "%s", &p.Out)
}

// api reaches the API past the proxies.
func (in *installation) api() *client.Client { return in.now.Load().api }

// servePages serves the browser's page and passes its requests on to the API, as a page's own backend does.
func (in *installation) servePages(t *testing.T) string {
	t.Helper()
	backend := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(in.now.Load().url)
		if r.Out.Header.Get("Authorization") == "" {
			r.Out.Header.Set("Authorization", "Bearer "+in.key)
		}
	}}
	mux := http.NewServeMux()
	mux.Handle("/v1/", backend)
	for _, name := range []string{"page.html", "page.js"} {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, filepath.Join(built, name)) })
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func request(directives string) json.RawMessage {
	body, err := json.Marshal(map[string]any{
		"model": "sim?" + directives, "messages": []map[string]string{{"role": "user", "content": "hi 😀"}},
	})
	if err != nil {
		panic(err) // strings can be encoded
	}
	return body
}

func (in *installation) submit(t *testing.T, directives string) client.Job {
	t.Helper()
	job, err := in.api().Submit(t.Context(), client.Submission{Request: request(directives)})
	require.NoError(t, err)
	return job
}

// batch makes a batch of so many lines that all ask the same.
func (in *installation) batch(t *testing.T, lines int, directives string) client.Batch {
	t.Helper()
	var input bytes.Buffer
	for n := range lines {
		fmt.Fprintf(&input, `{"custom_id":"line %d","method":"POST","url":%q,"body":%s}`+"\n", n+1, completion.EndpointChat, request(directives))
	}
	file, err := in.api().UploadFile(t.Context(), client.Upload{Name: "input.jsonl", Purpose: completion.PurposeBatch, Content: &input})
	require.NoError(t, err)
	batch, err := in.api().CreateBatch(t.Context(), client.BatchCreation{InputFileID: file.ID, Endpoint: completion.EndpointChat, Window: "1h"})
	require.NoError(t, err)
	return batch
}

// hold takes the worker's only slot until it is released, so that jobs wait.
func (in *installation) hold(t *testing.T) (release func()) {
	t.Helper()
	job := in.submit(t, "stall=0")
	for _, err := range in.api().Follow(t.Context(), job.ID, 0) {
		require.NoError(t, err)
		break // it has started
	}
	return func() {
		_, err := in.api().Cancel(t.Context(), job.ID)
		require.NoError(t, err)
	}
}
