package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/testkit"
)

// cluster is an installation of separate programs, with servers of its own.
type cluster struct {
	upstream
	database string
	redis    *testkit.RedisServer
	nats     *natsServer
	env      []string // of every program
	key      string   // of the tenant local, with all scopes
	files    string   // the folder that the apis share; made with the first of them
	apis     []*apiProcess
	programs string // folder of the programs; empty: bin
}

// startServers starts servers and no programs yet; env is for all programs and comes last.
func startServers(t *testing.T, env ...string) *cluster {
	t.Helper()
	c := &cluster{upstream: startUpstream(t), database: testkit.PostgresSchema(t), redis: testkit.StartRedis(t), nats: startNATS(t)}
	c.env = append([]string{
		"SLUICE_DATABASE_URL=" + c.database, "SLUICE_REDIS_URL=" + c.redis.URL(), "SLUICE_NATS_URL=" + c.nats.url,
		"SLUICE_PUBLIC_WEBSOCKET_URL=" + c.nats.websocket, "OPENAI_BASE_URL=" + c.url, "SLUICE_EVENT_BYTES=67108864",
		"SLUICE_RETRY_BASE=100ms", "SLUICE_RETRY_MAX=1s", "SLUICE_PRIVATE_ADDR=127.0.0.1:0",
	}, env...)
	return c
}

// startLoaded is startServers for long loads, with an upstream of its own process.
func startLoaded(t *testing.T, env ...string) *cluster {
	t.Helper()
	c := startServers(t, append(env, "SLUICE_WORKER_TTL=2s", "SLUICE_FILES_DIR="+t.TempDir(), "SLUICE_EVENT_BYTES=268435456")...)
	sim := program{name: c.program("sluice"), args: []string{"sim", "--addr", "127.0.0.1:0"}}.start(t)
	c.url = sim.await(t, `simulated model at (\S+/v1)`)[1]
	c.env = append(c.env, "OPENAI_BASE_URL="+c.url)
	c.migrate(t, "up")
	return c
}

// program is the path of one of the product's programs.
func (c *cluster) program(name string) string {
	if c.programs == "" {
		return name
	}
	return filepath.Join(c.programs, name)
}

// startCluster starts a whole installation.
func startCluster(t *testing.T, apis, workers int, env ...string) *cluster {
	t.Helper()
	c := startServers(t, env...)
	c.migrate(t, "up")
	for range apis {
		c.startAPI(t, "127.0.0.1:0").ready(t)
	}
	for range workers {
		c.startWorker(t)
	}
	return c
}

// startProxied starts an installation of one api and no worker yet, whose programs reach the database through the proxy.
func startProxied(t *testing.T) (*cluster, *proxy) {
	t.Helper()
	c := startServers(t)
	c.migrate(t, "up")
	direct, _ := through(t, c.database, "")
	p := startProxy(t, direct)
	_, proxied := through(t, c.database, p.addr())
	c.env = append(c.env, "SLUICE_DATABASE_URL="+proxied)
	c.startAPI(t, "127.0.0.1:0").ready(t)
	return c, p
}

// migrate runs the program migrate and returns what it printed.
func (c *cluster) migrate(t *testing.T, command string) string {
	t.Helper()
	said := program{name: c.program("migrate"), args: []string{command}, env: c.env}.succeed(t)
	if command == "up" && c.key == "" {
		c.key = c.newKey(t, "local", "submit,read,admin")
	}
	return said
}

// newKey makes an API key.
func (c *cluster) newKey(t *testing.T, tenant, scopes string) string {
	t.Helper()
	return strings.TrimSpace(program{name: c.program("sluice"), args: []string{"keys", "create", "--tenant", tenant, "--scope", scopes}, env: c.env}.succeed(t))
}

// startWorker starts one more worker and waits until it takes jobs.
func (c *cluster) startWorker(t *testing.T, env ...string) *child {
	t.Helper()
	w := program{name: c.program("worker"), env: slices.Concat(c.env, c.nats.creds("worker"), env)}.start(t)
	w.await(t, "worker ready")
	return w
}

// apiProcess is a running api.
type apiProcess struct {
	*child
	*client.Client
	url string
	key string
}

// startAPI starts one more api at addr and waits until it listens.
func (c *cluster) startAPI(t *testing.T, addr string, env ...string) *apiProcess {
	t.Helper()
	if c.files == "" {
		c.files = t.TempDir()
	}
	env = slices.Concat(c.env, c.nats.creds("api"), []string{"SLUICE_HTTP_ADDR=" + addr, "SLUICE_FILES_DIR=" + c.files}, env)
	p := program{name: c.program("api"), env: env}.start(t)
	a := newAPI(t, "http://"+p.await(t, `msg=listening addr=(\S+)`)[1], c.key)
	a.child = p
	c.apis = append(c.apis, a)
	return a
}

func newAPI(t *testing.T, url, key string) *apiProcess {
	t.Helper()
	api, err := client.New(url, web)
	require.NoError(t, err)
	return &apiProcess{Client: api.WithKey(key), url: url, key: key}
}

// use lets the client show another key from now on.
func (a *apiProcess) use(key string) { a.Client, a.key = a.WithKey(key), key }

// everything is a credential that opens all of the tenant's streams.
func (a *apiProcess) everything(t *testing.T) string {
	t.Helper()
	c, err := a.TenantCredential(t.Context())
	require.NoError(t, err)
	return c.Credential
}

// ready waits until the api can accept jobs.
func (a *apiProcess) ready(t *testing.T) {
	t.Helper()
	a.until(t, "be ready", func() bool { return a.get(t, "/readyz").status == http.StatusOK })
}

// answerLimit is when a request hangs: well above what an api takes at most while a server behind it is silent.
const answerLimit = 40 * time.Second

// response is what an api answered; its status is 0 if it did not.
type response struct {
	status int
	header http.Header
	body   string
}

func (a *apiProcess) get(t *testing.T, path string) response {
	t.Helper()
	return a.do(t, http.MethodGet, path, "")
}

// do sends a request with pairs of header names and values.
func (a *apiProcess) do(t *testing.T, method, path, body string, header ...string) response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+a.key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := web.Do(req)
	if err != nil {
		return response{body: err.Error()}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return response{resp.StatusCode, resp.Header, string(text)}
}

// refused checks that an answer is an error in the envelope.
func (a response) refused(t *testing.T, status int, code completion.Code, param string) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	e := gjson.Get(a.body, "error")
	for _, key := range []string{"message", "type", "param", "code"} {
		require.True(t, e.Get(key).Exists(), "%s in %s", key, a.body)
	}
	require.Equal(t, string(code), e.Get("code").Str, a.body)
	require.Equal(t, param, e.Get("param").Str, a.body)
	require.NotEmpty(t, e.Get("message").Str, a.body)
}

// prompt is the only message of every job.
const prompt = "hello"

// chat is a chat completion body for a model with directives.
func chat(model string) json.RawMessage {
	body, _ := json.Marshal(map[string]any{"model": model, "messages": []any{map[string]string{"role": "user", "content": prompt}}}) // strings only
	return body
}

// submit hands in a job that must be accepted. The directives are those of package modelsim.
func (a *apiProcess) submit(t *testing.T, directives string) client.Job {
	t.Helper()
	return a.hand(t, client.Submission{Request: chat("sim?" + directives)})
}

func (a *apiProcess) hand(t *testing.T, s client.Submission) client.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
	defer cancel()
	job, err := a.Submit(ctx, s)
	require.NoError(t, err)
	require.Equal(t, completion.Queued, job.State)
	return job
}

// read reads a job.
func (a *apiProcess) read(t *testing.T, id string) client.Job {
	t.Helper()
	job, err := a.Get(t.Context(), id)
	require.NoError(t, err)
	return job
}

// finished waits until a job is in a final state.
func (a *apiProcess) finished(t *testing.T, id string) client.Job {
	t.Helper()
	var job client.Job
	until(t, "the end of "+id, func() bool {
		job = a.read(t, id)
		return job.State.Final()
	})
	return job
}

// content is the stored message.
func content(job client.Job) string {
	return gjson.GetBytes(job.Result, "choices.0.message.content").Str
}

// through returns the database's address by way of addr.
func through(t *testing.T, database, addr string) (direct, proxied string) {
	t.Helper()
	u, err := url.Parse(database)
	require.NoError(t, err)
	direct, u.Host = u.Host, addr
	return direct, u.String()
}
