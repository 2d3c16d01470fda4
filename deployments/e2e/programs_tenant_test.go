package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"github.com/uptrace/bun"

	"sluice/shared/client"
	"sluice/shared/completion"
	"sluice/shared/queue"
	"sluice/shared/store"
	"sluice/shared/testkit"
)

// sluice is a command line for who runs the installation.
func (c *cluster) sluice(args ...string) program {
	return program{name: "sluice", args: args, env: c.env}
}

// as is the api as another key's owner sees it.
func (a *apiProcess) as(key string) *apiProcess {
	other := *a
	other.use(key)
	return &other
}

// TestTenants_I8_Revocation revokes a key that two apis know and that follows a stream.
func TestTenants_I8_Revocation(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 1)
	secret := c.newKey(t, "acme", "submit,read")
	here, there := c.apis[0].as(secret), c.apis[1].as(secret)
	job := here.submit(t, "stall=3")
	resp := there.open(t, job.EventsURL)
	list := c.sluice("keys", "list", "--tenant", "acme").succeed(t)
	id := regexp.MustCompile(`key_[0-9a-f]{32}`).FindString(list)
	require.NotContains(t, list, secret)
	require.Contains(t, c.sluice("keys", "revoke", id, "--tenant", "acme").succeed(t), "revoked")
	for _, a := range []*apiProcess{here, there} {
		until(t, "the revocation to take effect", func() bool { return a.get(t, "/v1/jobs/"+job.ID).status == http.StatusUnauthorized })
	}
	require.NotContains(t, rest(t, resp.Body), "event: completed", "and the stream has ended")
	require.Equal(t, completion.Running, c.apis[0].asTenant(t, c, "acme").read(t, job.ID).State, "what was accepted goes on")

	other := c.sluice("keys", "revoke", id, "--tenant", "other").run(t)
	require.Equal(t, 1, other.code(t))
	require.Contains(t, other.err.String(), "tenant other has no key "+id)
}

// asTenant is the api as a new key's owner sees it.
func (a *apiProcess) asTenant(t *testing.T, c *cluster, tenant string) *apiProcess {
	t.Helper()
	return a.as(c.newKey(t, tenant, "submit,read,admin"))
}

// TestTenants_I8_FairShares has one tenant with 100,000 waiting jobs, and looks at how many of them begin between the
// submit of another tenant's first job and its beginning.
func TestTenants_I8_FairShares(t *testing.T) {
	t.Parallel()
	const flood, slots = 100_000, 2
	c := startServers(t, fmt.Sprintf("SLUICE_INTERACTIVE_SLOTS=%d", slots))
	c.migrate(t, "up")
	db, err := store.OpenPostgres(c.database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	c.flood(t, db, flood)
	a := c.startAPI(t, "127.0.0.1:0")
	a.ready(t)
	c.startWorker(t)
	started := func() (n int) {
		require.NoError(t, db.NewRaw("SELECT count(*) FROM job WHERE tenant = 'flood' AND started_at IS NOT NULL").Scan(t.Context(), &n))
		return n
	}
	until(t, "the flood to run", func() bool { return started() > 2*slots })
	for range 3 {
		job := a.finished(t, a.submit(t, "tps=0").ID)
		require.Equal(t, completion.Completed, job.State)
		var before int
		require.NoError(t, db.NewRaw("SELECT count(*) FROM job WHERE tenant = 'flood' AND started_at > ? AND started_at < ?", job.CreatedAt, job.StartedAt).Scan(t.Context(), &before))
		require.LessOrEqual(t, before, 2*slots, "each slot that becomes free is offered to the other tenant first or next")
	}
	require.Less(t, started(), flood/2, "most of the flood still waits")
}

// flood puts jobs of the tenant flood into the database and the queue.
func (c *cluster) flood(t *testing.T, db *bun.DB, n int) {
	t.Helper()
	_, err := db.NewRaw(`INSERT INTO job (id, tenant, lane, state, model, request, created_at, updated_at)
		SELECT 'job_flood' || lpad(i::text, 8, '0'), 'flood', 'interactive', 'queued', 'sim', convert_to(?, 'UTF8'), now(), now()
		FROM generate_series(1, ?) AS i`, string(chat("sim?tokens=3&tps=50")), n).Exec(t.Context())
	require.NoError(t, err)
	tasks := make([]completion.Task, n)
	for i := range tasks {
		tasks[i] = completion.Task{Ref: completion.Ref{Tenant: "flood", Job: fmt.Sprintf("job_flood%08d", i+1)}, Lane: completion.LaneInteractive}
	}
	for _, err := range queue.NewClient(c.redis.Client(t), nil).EnqueueAll(t.Context(), tasks) {
		require.NoError(t, err)
	}
}

// TestTenants_Limits sets limits as the operator does, and meets them as the tenant does.
func TestTenants_Limits(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 0)
	said := c.sluice("tenants", "set", "acme", "--running", "2", "--queued", "3", "--streams", "1").succeed(t)
	require.Regexp(t, `acme +- +3 +2 +- +1`, said)
	require.Regexp(t, `acme +- +3 +4 +- +1`, c.sluice("tenants", "set", "acme", "--running", "4").succeed(t), "what is not named stays")
	c.sluice("tenants", "set", "acme", "--running", "2").succeed(t)
	c.sluice("tenants", "set", "*", "--body-bytes", "300").succeed(t)
	require.Regexp(t, `(?s)\* +- +- +- +300 +- +- +- +-\n.*acme`, c.sluice("tenants", "list").succeed(t))
	acme, other := c.apis[0].asTenant(t, c, "acme"), c.apis[0].asTenant(t, c, "other")
	large := fmt.Sprintf(`{"request":{"model":"sim","messages":[{"role":"user","content":%q}]}}`, strings.Repeat("x", 300))
	until(t, "the limits to take effect", func() bool {
		return other.do(t, http.MethodPost, "/v1/jobs", large, "Content-Type", "application/json").status == http.StatusRequestEntityTooLarge
	})
	c.startWorker(t)
	running := func() int {
		page, _, err := acme.List(t.Context(), client.Query{State: completion.Running})
		require.NoError(t, err)
		return len(page)
	}
	var jobs []client.Job
	for range 2 {
		jobs = append(jobs, acme.submit(t, "stall=0"))
	}
	until(t, "two jobs to run", func() bool { return running() == 2 })
	for range 3 {
		jobs = append(jobs, acme.submit(t, "stall=0"))
	}
	full := acme.do(t, http.MethodPost, "/v1/jobs", body("sim"))
	full.refused(t, http.StatusTooManyRequests, completion.CodeQueueFull, "")
	require.NotEmpty(t, full.header.Get("Retry-After"))
	require.Equal(t, completion.Completed, other.finished(t, other.submit(t, "tps=0").ID).State, "others go on")
	require.Equal(t, 2, running())
	for i, job := range jobs {
		_, err := acme.Cancel(t.Context(), job.ID)
		require.NoError(t, err)
		if left := len(jobs) - i - 1; left >= 2 {
			until(t, "the next to run", func() bool { return running() == 2 })
		}
	}
}

// TestNATS_Init checks what the command writes with the server's own checker, and that nothing is written over.
func TestNATS_Init(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"Plain":      nil,
		"NoWeb":      {"--websocket", ""},
		"Origins":    {"--origins", "https://a.example,https://b.example"},
		"Cluster":    {"--cluster", "127.0.0.1:6222", "--routes", "127.0.0.1:6223,127.0.0.1:6224", "--server-name", "n1"},
		"ClusterTLS": {"--cluster", "127.0.0.1:6222", "--routes", "127.0.0.1:6223"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "nats")
			if strings.HasSuffix(name, "TLS") {
				flags = withCertificate(t, flags)
			}
			program{name: "sluice", args: append([]string{"nats", "init", dir}, flags...)}.succeed(t)
			program{name: "nats-server", args: []string{"-t", "-c", filepath.Join(dir, "nats.conf")}}.succeed(t)
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			require.NoError(t, err)
			for _, f := range files {
				info, err := os.Stat(f)
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f)
			}
			again := program{name: "sluice", args: []string{"nats", "init", dir}}.run(t)
			require.Equal(t, 1, again.code(t))
			require.Contains(t, again.err.String(), "is not empty")
		})
	}
	for _, bad := range [][]string{{"--listen", "x"}, {"--tls-cert", "x"}, {"--connections", "0"}} {
		p := program{name: "sluice", args: append([]string{"nats", "init", filepath.Join(t.TempDir(), "nats")}, bad...)}.run(t)
		require.Equal(t, 2, p.code(t), "%s", p)
	}
}

// withCertificate adds a certificate that signs itself.
func withCertificate(t *testing.T, flags []string) []string {
	t.Helper()
	cert, key := testkit.Certificate(t)
	return append(flags[:len(flags):len(flags)], "--tls-cert", cert, "--tls-key", key, "--tls-ca", cert)
}

// TestNATS_Setup changes the streams as the only one who may.
func TestNATS_Setup(t *testing.T) {
	t.Parallel()
	c := startServers(t)
	setup := c.sluice("nats", "setup")
	setup.env = append(append(setup.env[:len(setup.env):len(setup.env)], c.nats.creds("setup")...), "SLUICE_EVENT_AGE=2h")
	require.Contains(t, setup.succeed(t), "2h0m0s")
	c.migrate(t, "up")
	a := c.startAPI(t, "127.0.0.1:0")
	a.await(t, `stream differs from the settings`)
	for _, role := range []string{"worker", "api"} {
		p := c.sluice("nats", "setup")
		p.env = append(p.env[:len(p.env):len(p.env)], c.nats.creds(role)...)
		refused := p.run(t)
		require.Equal(t, 1, refused.code(t))
		require.Contains(t, strings.ToLower(refused.err.String()), "permissions violation", role)
	}
	c.startWorker(t)
	require.Equal(t, completion.Completed, a.finished(t, a.submit(t, "tps=0").ID).State)
}

// TestRequestID_EndToEnd follows the id of a request to the upstream and back.
func TestRequestID_EndToEnd(t *testing.T) {
	t.Parallel()
	u := startUpstream(t)
	target, err := url.Parse(u.url)
	require.NoError(t, err)
	asked := make(chan string, 10)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // a worker also asks for the models there are
			asked <- r.Header.Get("X-Client-Request-Id")
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(between.Close)
	c := startCluster(t, 1, 1, "OPENAI_BASE_URL="+between.URL+"/v1")
	a := c.apis[0]
	for _, given := range []string{"mine-17", ""} {
		answer := a.do(t, http.MethodPost, "/v1/jobs", body("sim?tps=0"), "X-Request-Id", given)
		require.Equal(t, http.StatusAccepted, answer.status, answer.body)
		id := answer.header.Get("X-Request-Id")
		if given != "" {
			require.Equal(t, given, id)
		}
		require.NotEmpty(t, id)
		job := a.finished(t, gjson.Get(answer.body, "id").Str)
		require.Equal(t, completion.Completed, job.State)
		require.Equal(t, id, job.RequestID)
		require.Equal(t, id, <-asked)
	}
}
